"""The gRPC face of the admin API: methods that call services, and nothing that decides."""
