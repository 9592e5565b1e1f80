"""What the routes of the admin API depend on: the parts that the application was built with."""

from typing import Annotated

from fastapi import Depends, Request

from app.admin.composition import AdminParts


def admin_parts(request: Request) -> AdminParts:
    """Return the parts that `build_admin` was given."""
    parts: AdminParts = request.app.state.parts
    return parts


AdminPartsOf = Annotated[AdminParts, Depends(admin_parts)]
