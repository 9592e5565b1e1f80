"""The routes that an edge itself answers, all below `/_penstock/`."""
