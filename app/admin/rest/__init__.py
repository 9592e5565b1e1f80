"""The REST face of the admin API: routes that call services, and nothing that decides."""
