"""What operators can do, as plain async classes: validation, authorization and errors, without any HTTP or gRPC."""
