#!/bin/sh
# venv.sh FOLDER [EXTRA...]: a virtual environment with edgevision and its pinned packages.
#
# Every package is checked against the hashes in constraints.txt. With EDITABLE=1 the checkout
# itself is used, else a copy of it is installed. Run it again to update the folder.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -ge 1 ] || { echo "usage: venv.sh FOLDER [EXTRA...]" >&2; exit 2; }
venv=$1
shift
python=${PYTHON:-python3}

fail() { echo "edgevision: $*" >&2; exit 1; }

# as_root COMMAND...: run it as root if that needs no password; 1 if it cannot.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else command -v sudo >/dev/null && sudo -n "$@"; fi
}

# 32-bit ARM: there are no wheels of the numerical packages, so Debian's are used.
debians=
site=
if [ "$(getconf LONG_BIT)" = 32 ]; then
  # Under a 64-bit kernel pip would ask for 64-bit packages.
  [ "$(uname -m)" != aarch64 ] || exec setarch linux32 "$0" "$venv" "$@"
  debians="python3-numpy python3-opencv python3-psutil python3-yaml libopenblas0-pthread"
  site=--system-site-packages
fi

command -v "$python" >/dev/null || as_root apt-get install -y -qq python3 >/dev/null 2>&1 ||
  fail "expected Python 3.11 or newer, found none: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "expected Python 3.11 or newer, got $("$python" --version); set PYTHON to a newer one"

# shellcheck disable=SC2086 # the packages are words
[ -z "$debians" ] || "$python" -c 'import cv2, numpy, psutil, yaml' 2>/dev/null ||
  { as_root apt-get update -qq &&
    as_root apt-get install -y -qq --no-install-recommends $debians; } >/dev/null 2>&1 ||
  fail "32-bit Python lacks packages: apt-get install $debians, then try again"

if ! [ -x "$venv/bin/pip" ]; then
  "$python" -c 'import ensurepip' 2>/dev/null ||
    { as_root apt-get update -qq && as_root apt-get install -y -qq python3-venv; } >/dev/null 2>&1 ||
    fail "Python lacks venv: apt-get install python3-venv, then try again"
  # shellcheck disable=SC2086 # empty or one word
  "$python" -m venv $site "$venv"
fi

# An older pip cannot check hashes in a constraints file, so pip comes first.
stamp=$(cat "$here/constraints.txt" "$here/pyproject.toml" "$0" | sha256sum)
stamp="$stamp $here $* ${EDITABLE:-}"
if [ "${EDITABLE:-}" = 1 ] && [ "$(cat "$venv/edgevision.stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi
echo "edgevision: installing packages into $venv, once" >&2
quiet="-q --disable-pip-version-check --no-input"
sed -n '/^pip==/,/[^\\]$/p' "$here/constraints.txt" >"$venv/pip.txt"
# shellcheck disable=SC2086 # the options are words
"$venv/bin/pip" install $quiet --require-hashes -r "$venv/pip.txt"
"$venv/bin/python" - "$here/pyproject.toml" "$@" >"$venv/requirements.txt" <<'EOF'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    tree = tomllib.load(file)
print(*tree["build-system"]["requires"], "editables", *tree["project"]["dependencies"], sep="\n")
for extra in sys.argv[2:]:
    print(*tree["project"]["optional-dependencies"][extra], sep="\n")
EOF
# shellcheck disable=SC2086
"$venv/bin/pip" install $quiet -c "$here/constraints.txt" -r "$venv/requirements.txt"
# shellcheck disable=SC2086
"$venv/bin/pip" install $quiet --no-deps --no-build-isolation --force-reinstall \
  ${EDITABLE:+-e} "$here"
echo "$stamp" >"$venv/edgevision.stamp"
