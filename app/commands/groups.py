"""Groups of commands, as quick to start as typer permits."""

from typing import Any

from typer.core import TyperGroup, TyperOption

from app.commands.exit_codes import ExitCode


class CommandGroup(TyperGroup):
    """A group whose `--help` is false by default, not unset: to convert what is unset, typer would import pydantic."""

    def get_help_option(self, ctx: Any) -> TyperOption | None:  # noqa: ANN401 - a context, whose class is private
        """Return the option, or None if the group has none."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Parse the arguments. Without any, print the help and end as for a wrong command line."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            print(ctx.get_help())
            ctx.exit(ExitCode.WRONG_USAGE)
        return super().parse_args(ctx, args)
