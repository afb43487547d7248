#!/bin/sh
# boot.sh enter MOUNT CGROUP...: join these cgroups, then boot in namespaces of its own.
# boot.sh boot MOUNT: build the box's files over this machine's and become its systemd.
#
# Nothing of this machine is written: the box's changes lie in a tmpfs that ends with it. Its
# network is a loopback of its own. It ends when the process that started it does.
set -eu

stage=$1
mount=$2

if [ "$stage" = enter ]; then
  shift 2
  for cgroup; do
    echo $$ >"$cgroup/cgroup.procs"
  done
  exec unshare --mount --pid --uts --ipc --cgroup --net --fork --kill-child \
    --propagation private "$0" boot "$mount"
fi

mount -t tmpfs -o mode=755 box "$mount"
root=$mount/root
mkdir "$mount/upper" "$mount/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$mount/upper,workdir=$mount/work" overlay "$root"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,ro,bind "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"

# cgroups as this machine has them: version 2 alone, or version 1 with 2 beside it for systemd.
cgroups=$root/sys/fs/cgroup
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 "$cgroups"
else
  mount -t tmpfs -o mode=755 cgroups "$cgroups"
  while IFS=: read -r _ controllers _; do
    case $controllers in
      "") folder=unified type=cgroup2 options=rw ;;
      name=*) folder=${controllers#name=} type=cgroup options=none,$controllers ;;
      *) folder=$controllers type=cgroup options=$controllers ;;
    esac
    mkdir "$cgroups/$folder"
    mount -t "$type" -o "$options" cgroup "$cgroups/$folder"
  done </proc/self/cgroup
fi

# A /dev with what every system has, the node of a camera without the camera, and one that a
# service has no business with although its mode lets everyone in.
dev=$root/dev
mount -t tmpfs -o mode=755,nosuid dev "$dev"
mkdir "$dev/pts" "$dev/shm" "$dev/mqueue"
mknod -m 666 "$dev/null" c 1 3
mknod -m 666 "$dev/zero" c 1 5
mknod -m 666 "$dev/full" c 1 7
mknod -m 666 "$dev/random" c 1 8
mknod -m 666 "$dev/urandom" c 1 9
mknod -m 666 "$dev/tty" c 5 0
mknod -m 660 "$dev/video0" c 81 0
chgrp video "$dev/video0"
mknod -m 666 "$dev/kmsg" c 1 11
mknod -m 666 "$dev/fuse" c 10 229
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dev/pts"
ln -s pts/ptmx "$dev/ptmx"
ln -s /proc/self/fd "$dev/fd"
mount -t tmpfs -o mode=1777 shm "$dev/shm"
mount -t tmpfs -o mode=755 run "$root/run"
# Nothing of this machine's users, log or own installation of edgevision is seen.
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
for folder in home root var/log; do
  mount -t tmpfs -o mode=755 box "$root/$folder"
done
rm -rf "$root/opt/edgevision" "$root/etc/edgevision" "$root/usr/local/bin/edgevision" \
  "$root/var/lib/edgevision" "$root/var/lib/private/edgevision"

# This machine's services stay out, and what would need more of a machine than there is.
units=$root/etc/systemd/system
rm -rf "$units"/*.wants "$units"/edgevision.service*
: >"$root/etc/fstab"
echo box >"$root/etc/hostname"
for unit in systemd-sysctl.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
  proc-sys-fs-binfmt_misc.mount dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
  systemd-modules-load.service systemd-firstboot.service systemd-logind.service getty.target \
  systemd-remount-fs.service systemd-random-seed.service systemd-pstore.service \
  kmod-static-nodes.service systemd-repart.service systemd-udevd.service \
  systemd-udev-trigger.service systemd-networkd.service systemd-resolved.service \
  systemd-timesyncd.service; do
  ln -sf /dev/null "$units/$unit"
done

cd "$root"
mkdir -p "$root/tmp/old"
pivot_root . tmp/old
umount -l /tmp/old
rmdir /tmp/old
cd /
mount --make-rshared /
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=no
