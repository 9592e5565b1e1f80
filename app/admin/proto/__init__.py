"""The gRPC API's definition, and the code that scripts/proto makes of it."""
