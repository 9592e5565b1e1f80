"""What the data plane and the admin API share: headers, paths, strict JSON, problem details and OpenAPI."""
