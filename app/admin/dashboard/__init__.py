"""The dashboard, as the admin process serves it: its built files, and how operators sign in to it."""
