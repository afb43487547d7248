#!/bin/sh
# sudo systemd/install.sh            install edgevision as a service, or upgrade it
# sudo systemd/install.sh --remove   remove service and program; --remove --purge: settings too
#
# Each version gets its own folder below /opt/edgevision, and a symbolic link selects the one that
# runs. A version that cannot be installed, or does not start, leaves the old one running.
set -eu

opt=/opt/edgevision
etc=/etc/edgevision
unit=/etc/systemd/system/edgevision.service
command=/usr/local/bin/edgevision
here=$(cd "$(dirname "$0")/.." && pwd)

fail() {
  echo "edgevision: $1" >&2
  exit "${2:-1}"
}
say() { echo "edgevision: $*"; }
usage() { fail "expected no argument, --remove or --remove --purge, got: $*" 2; }

remove=
purge=
for argument; do
  case $argument in
    --remove) remove=1 ;;
    --purge) purge=1 ;;
    -h | --help)
      sed -n '2,3s/^# //p' "$0"
      exit
      ;;
    *) usage "$@" ;;
  esac
done
[ -z "$purge" ] || [ -n "$remove" ] || usage "$@"

[ "$(id -u)" = 0 ] || fail "installing a service needs root: sudo $0${*:+ $*}"
[ -d /run/systemd/system ] || fail "expected a system that runs systemd, found another init system"
# The installed files must be readable by the service's user, whatever root's umask is.
umask 022

if [ -n "$remove" ]; then
  systemctl disable --now --quiet edgevision 2>/dev/null || true
  systemctl reset-failed edgevision 2>/dev/null || true
  rm -rf "$unit" "$opt"
  [ "$(readlink "$command")" != "$opt/venv/bin/edgevision" ] || rm "$command"
  systemctl daemon-reload
  if [ -n "$purge" ]; then
    rm -rf "$etc" "$unit.d" /var/lib/edgevision /var/lib/private/edgevision
    say "removed, with its settings and state"
  else
    say "removed; $etc and /var/lib/edgevision are kept (--remove --purge deletes them)"
  fi
  exit 0
fi

# check VERSION: does the service, with its own rights and secrets, accept the configuration?
check() {
  systemd-run --quiet --collect --wait --pipe -p DynamicUser=yes -p ProtectHome=yes \
    -p SupplementaryGroups=video -p EnvironmentFile="-$etc/environment" \
    -p LoadCredential="mqtt_password:$etc/mqtt_password" \
    "$1/bin/edgevision" check-config "$etc/config.yaml"
}

# run_version VERSION: switch to it, with its own unit; returns when it is ready.
run_version() {
  ln -sfn "$1" "$opt/venv.new"
  mv -T "$opt/venv.new" "$opt/venv"
  install -m 644 "$1/edgevision.service" "$unit"
  systemctl daemon-reload
  systemctl restart edgevision
}

[ "$(getconf LONG_BIT)" = 64 ] ||
  say "this system is 32-bit: NumPy replaces ONNX Runtime, and Debian's OpenCV is used"

# Settings. Existing files are the user's and are kept.
mkdir -p "$opt" "$etc"
[ -e "$etc/config.yaml" ] || install -m 644 "$here/config.yaml" "$etc/config.yaml"
[ -e "$etc/mqtt_password" ] || install -m 600 /dev/null "$etc/mqtt_password"

# The program.
old=$(readlink -f "$opt/venv" || true)
[ -d "$old" ] || old=
new=$opt/venv-$(date +%Y%m%d-%H%M%S)
trap '[ "$(readlink -f "$opt/venv")" = "$new" ] || rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP
say "installing packages into $new (takes minutes on a small board)"
"$here/systemd/venv.sh" "$new" || fail "the packages cannot be installed; see above"

check "$new" || fail "nothing was installed; fix the faults above, then: sudo $0" $?

# The service.
mkdir -p "$(dirname "$command")"
[ -e "$command" ] || ln -sfn "$opt/venv/bin/edgevision" "$command"
cp "$here/systemd/edgevision.service" "$new/"
[ -z "$old" ] || [ ! -e "$unit" ] || cp "$unit" "$old/"
if ! run_version "$new"; then
  journalctl --sync
  journalctl --unit edgevision --lines 20 --no-pager --output cat >&2
  if [ -z "$old" ]; then
    systemctl stop edgevision
    fail "the service does not start (see its log above), so it was stopped"
  fi
  run_version "$old" || true
  fail "the new version does not start (see its log above); the previous one runs again"
fi
systemctl enable --quiet edgevision
for version in "$opt"/venv-*; do
  [ "$version" = "$new" ] || rm -rf "$version"
done

say "$("$new/bin/edgevision" --version) is running and starts at boot. Next:"
cat <<EOF
  cameras and broker  sudo nano $etc/config.yaml
  broker's password   sudo nano $etc/mqtt_password
  check, then apply   edgevision check-config $etc/config.yaml && sudo systemctl restart edgevision
  state               systemctl status edgevision
  log                 journalctl --unit edgevision --follow
EOF
