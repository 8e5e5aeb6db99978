#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The installed tree as its users meet it: staged by `meson install`, laid over /usr in a mount namespace of this test, then the
# programs, mount(8) with fstab lines, the units, the library and the manual, without any path set.
if [ "${1:-}" != inside ]; then
	[ "$(id -u)" = 0 ] || { echo "skipped: only root mounts"; exit 77; }
	unshare -m true 2>/dev/null || { echo "skipped: no mount namespaces here"; exit 77; }
	exec unshare -m --propagation private bash "$0" inside
fi
. "$(dirname "$0")/lib.sh"
it_begin
need meson unshare
BUILD=$(cd "$(dirname "$WEFT")/../.." && pwd)
prefix=$(meson introspect --buildoptions "$BUILD" | jq -r '.[] | select(.name == "prefix") | .value')
[ "$prefix" = /usr/local ] || skip "the build's prefix is $prefix, not /usr/local"

step "staged installation"
DESTDIR=$T/stage meson install -C "$BUILD" --no-rebuild --quiet
for d in /usr/local /usr/sbin; do
	mount -t overlay overlay -o "lowerdir=$T/stage$d:$d" "$d" 2>/dev/null || skip "no overlay file system here"
done
mount -t tmpfs -o dev tmpfs /run
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset LD_LIBRARY_PATH PKG_CONFIG_PATH MANPATH
hash -r
[ "$(type -P weft)" = /usr/local/bin/weft ] || fail "weft is not in the path"
for p in weft weft-mgmtd weft-meta weft-storage weft-mount; do
	"$(type -P "$p")" --version | grep -q '^weft' || fail "$p --version"
	! ldd "$(type -P "$p")" | grep 'not found' || fail "$p misses libraries"
done
mount.weft --version | grep -q weft

step "the local cluster, as installed"
WEFT=/usr/local/bin/weft
it_up --meta 1 --storage 2
[ "$(readlink "/proc/$(pid_of storage1)/exe" | sed 's,.*/,,')" = weft-storage ]
it_down


step "daemons by a configuration file"
mkdir -p "$T/etc" "$T/s"/{mgmtd,meta,disk1,disk2} "$T/run"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
for s in secret server-secret; do
	(umask 077 && head -c 32 /dev/urandom >"$T/etc/$s")
done
cat >"$T/etc/weft.conf" <<-END
	[common]
	mgmtd = tcp:127.0.0.1:$port
	secret-file = $T/etc/secret
	server-secret-file = $T/etc/server-secret
	[mgmtd]
	dir = $T/s/mgmtd
	listen = tcp:127.0.0.1:$port
	[meta]
	target = $T/s/meta
	listen = tcp:127.0.0.1:0
	[storage]
	target = $T/s/disk1, $T/s/disk2
	listen = tcp:*:0
END
for d in mgmtd meta storage; do
	"weft-$d" --config "$T/etc/weft.conf" --check-config >/dev/null
	"weft-$d" --config "$T/etc/weft.conf" --background --log-file "$T/$d.log" --pid-file "$T/run/$d.pid"
done
weft_of() { "$WEFT" "$@" --config "$T/etc/weft.conf"; }
eventually 20 weft_of status

step "mount -t weft"
src=127.0.0.1:$port
m=$T/m1
mkdir "$m"
mount -t weft "$src" "$m" -o "secret-file=$T/etc/secret,noatime,noexec,nosuid"
is "$(findmnt -no FSTYPE,SOURCE "$m" | tr -s ' ')" "fuse.weft $src" "type and source"
findmnt -no OPTIONS "$m" | grep -q 'nosuid,nodev,noexec' || fail "options: $(findmnt -no OPTIONS "$m")"
mkdir -p "$m/project/data"
echo text >"$m/project/data/f"
printf '#!/bin/sh\n' >"$m/prog"
chmod 755 "$m/prog"
! "$m/prog" 2>/dev/null
umount "$m"
! mountpoint -q "$m"

step "a subdirectory, read-only"
mount -t weft "$src/project/data" "$m" -o "ro,secret-file=$T/etc/secret"
is "$(cat "$m/f")" text "file in the subdirectory"
is "$(stat -c %i "$m")" 1 "inode of the root"
refused 'read-only' touch "$m/x"
(cd "$m" && [ "$(pwd -P)" = "$m" ] && ls -la .. >/dev/null)
umount "$m"
refused 'project/none: No such file' mount -t weft "$src/project/none" "$m" -o "secret-file=$T/etc/secret"
refused 'prog: Not a directory' mount -t weft "$src/prog" "$m" -o "secret-file=$T/etc/secret"

step "fstab"
cat >"$T/fstab" <<-END
	$T/etc/weft.conf $T/m1 weft defaults,_netdev,x-systemd.automount,nofail 0 0
	$src/project $T/m2 weft secret-file=$T/etc/secret,noauto,user,ro,comment=hello 0 0
END
mkdir "$T/m2"
mount -T "$T/fstab" "$T/m1"
echo more >"$T/m1/g"
umount "$T/m1"
mount -T "$T/fstab" -a
mount -T "$T/fstab" -a
is "$(grep -c " $T/m1 " /proc/self/mounts)" 1 "mounts after mount -a twice"
! mountpoint -q "$T/m2"
is "$(cat "$T/m1/g")" more "file"
mount -T "$T/fstab" "$T/m2"
is "$(cat "$T/m2/data/f")" text "file"
umount "$T/m2" "$T/m1"

step "options that cannot be"
o=secret-file=$T/etc/secret
refused 'no such option' mount -t weft "$src" "$m" -o "$o,nonsense"
refused 'O_SYNC' mount -t weft "$src" "$m" -o "$o,sync"
refused 'op-timeout.*duration' mount -t weft "$src" "$m" -o "$o,op-timeout=soon"
refused 'no configuration file' mount -t weft "$T/none.conf" "$m"
refused 'secret' mount -t weft "$src" "$m" -o "secret-file=$T/none"
mount -t weft none "$m" -o "config=$T/etc/weft.conf"
refused 'unmounting' mount -o remount,noatime "$m"
mount -i -o remount,ro "$m"
refused 'read-only' touch "$m/x"
umount "$m"
mount -f -t weft "$src" "$m" -o "$o"
! mountpoint -q "$m"
mount.weft "$src" "$m" -n -s -v -t weft -o "rw,$o"
mountpoint -q "$m"
umount "$m"

step "a user's mount"
if id nobody >/dev/null 2>&1 && command -v setpriv >/dev/null && command -v fusermount3 >/dev/null; then
	mkdir "$T/user" "$T/user/m"
	cp "$T/etc/secret" "$T/user/secret"
	chown -R nobody "$T/user"
	printf '%s %s weft secret-file=%s,noauto,user 0 0\n' "$src" "$T/user/m" "$T/user/secret" >"$T/fstab.user"
	touch /run/fstab && cat /etc/fstab "$T/fstab.user" >/run/fstab 2>/dev/null
	mount --bind /run/fstab /etc/fstab
	mknod -m 666 /run/fuse c 10 229 # as udev makes it
	mount --bind /run/fuse /dev/fuse
	as_nobody() { setpriv --reuid nobody --clear-groups "$@"; }
	as_nobody mount "$T/user/m"
	as_nobody grep -q text "$T/user/m/project/data/f"
	as_nobody umount "$T/user/m"
	! mountpoint -q "$T/user/m"
	(cd "$T/user" && timeout 60 setpriv --reuid nobody --clear-groups "$WEFT" up --dir "$T/user/c" --mount "$T/user/m" --meta 1 --storage 1 >/dev/null)
	as_nobody sh -c "echo mine >'$T/user/m/f' && cat '$T/user/m/f'" | grep -q mine
	as_nobody "$WEFT" destroy --dir "$T/user/c" --yes >/dev/null
	umount -l /etc/fstab /dev/fuse
fi

step "units"
if command -v systemd-analyze >/dev/null; then
	systemd-analyze verify --man=no /usr/local/lib/systemd/system/weft-{mgmtd,meta,storage}.service 2>&1 | tee "$T/verify"
	! grep -q weft "$T/verify" || fail "units"
fi

step "readiness as systemd hears it"
kill "$(cat "$T/run/storage.pid")"
eventually 20 test ! -e "$T/run/storage.pid"
python3 - "$T" <<-'END'
	import os, socket, subprocess, sys
	t = sys.argv[1]
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.bind(t + "/notify")
	s.settimeout(20)
	subprocess.Popen(["weft-storage", "--config", t + "/etc/weft.conf", "--pid-file", t + "/run/storage.pid"],
			 env=dict(os.environ, NOTIFY_SOCKET=t + "/notify"), stderr=open(t + "/storage.log", "a"))
	assert s.recv(100).startswith(b"READY=1")
END

step "a program with libweft"
if command -v pkg-config >/dev/null && command -v cc >/dev/null; then
	cp "$IT_ROOT/examples/hello.c" "$T/hello.c"
	# shellcheck disable=SC2046
	cc -Wall -Werror -o "$T/hello" "$T/hello.c" $(pkg-config --cflags --libs weft)
	lib=$(dirname "$(find /usr/local/lib -name libweft.so.0)")
	grep -rqx "$lib" /etc/ld.so.conf.d/ || fail "$lib is not where programs look"
	LD_LIBRARY_PATH=$lib "$T/hello" "tcp:$src" "$T/etc/secret" /hello | grep -q world # instead of ldconfig, which would change this machine's cache
fi

step "manual"
if command -v man >/dev/null; then
	for p in weft.1 weft-mgmtd.8 weft-meta.8 weft-storage.8 weft-mount.8 mount.weft.8 weft.conf.5 weft.3 weft_open.3; do
		man -w "${p##*.}" "${p%.*}" >/dev/null || fail "man does not find $p"
	done
fi

step "stop"
for d in storage meta mgmtd; do
	pid=$(cat "$T/run/$d.pid")
	kill "$pid"
	eventually 20 gone "$pid"
done
it_logs_clean
say "passed"
