"""The whole system on one machine: `penstock up`, its stores and the development issuer."""
