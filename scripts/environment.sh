# Sourced by scripts/test, demo, bench and simulate: leaves the clone's folder in $root and its own Python in $python.
# Finds a Python that fits; scripts/environment.py does the rest.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
python=$root/.venv/bin/python

# A command of that name is not enough: version managers leave shims that only say what is missing.
find_python() {
  local name version found=""
  for name in python3.13 python3.12 python3.11 python3; do
    version=$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    case $version in
      3.11 | 3.12 | 3.13) printf '%s\n' "$name"; return ;;
    esac
    found="$found $name is $version;"
  done
  printf '%s: this needs Python 3.11, 3.12 or 3.13; found:%s\n' "${0##*/}" "${found:- no python3 at all;}" >&2
  printf '  install one of them (or put it first on PATH) and run this again\n' >&2
  return 1
}

maker=$(find_python) || exit 1
"$maker" "$root/scripts/environment.py" || exit 1
unset maker
