# To be sourced. `ensure_venv EXTRAS` installs the project with these extras into .venv, at the versions that
# constraints.txt pins, unless that has been done since the project's dependencies changed. Needs Python 3.11 or later.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.12 python3.11 python3 python3.13 python3.14; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "penstock: needs Python 3.11 or later with venv (Debian: apt-get install python3 python3-venv); set PYTHON to yours" >&2
  return 1
}

ensure_venv() {
  local extras=$1 stamp="$root/.venv/.installed" wanted python
  # The sections of pyproject.toml from [tool.ruff] on say nothing of what is installed.
  wanted="$extras $( (sed '/^\[tool\.ruff\]/,$d' "$root/pyproject.toml"; cat "$root/constraints.txt") | cksum) $root"
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return
  python=$(find_python) || return 1
  echo "setting up .venv with $("$python" --version): this takes about a minute and is done once" >&2
  [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv" || return 1
  "$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint "$root/constraints.txt" --editable "$root[$extras]" || return 1
  echo "$wanted" >"$stamp"
}
