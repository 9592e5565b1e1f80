"""What both HTTP APIs share: headers, paths, problem details and OpenAPI."""
