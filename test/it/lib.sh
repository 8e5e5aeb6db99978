# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# shellcheck shell=bash
# What the tests on real daemons and real mounts share. A test sources this file, calls it_begin, then works with
#
#	$T    its temporary folder          $D    the cluster's folder, $T/c        $M    the first mount, $T/mnt
#	weft VERB...                        the command, on the cluster in $D
#
# It ends with status 0 passed, 1 failed, 77 skipped. A command that fails ends the test (set -e), with what it was and the last
# lines of the daemons' logs; whatever happens, mounts and daemons of the test are gone afterwards.
#
# Environment: WEFT (the command; default: the build folder's), TEST_BIN (where the test programs are), WEFT_KEEP=1 (leave $T),
# WEFT_TMP (where $T is made; default /var/tmp).
set -Eeuo pipefail

IT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
WEFT=${WEFT:-$IT_ROOT/build/src/cli/weft}
TEST_BIN=${TEST_BIN:-$IT_ROOT/build/test}
IT_NAME=$(basename "$0" .sh)
IT_T0=$(date +%s%N)
IT_STEP="start"
IT_MOUNTS=()  # further mounts: paths
IT_NETNS=()
IT_LOOPS=()   # mounts of local file systems, unmounted last
T=

say() { printf '# %6d ms  %s\n' $((($(date +%s%N) - IT_T0) / 1000000)) "$*"; }

# Begins a step, named in failures.
step() {
	IT_STEP=$*
	say "$*"
}

fail() {
	echo "FAILED in step '$IT_STEP': $*" >&2
	trap - ERR
	exit 1
}

skip() {
	echo "skipped: $*"
	trap - ERR
	exit 77
}

# is GOT WANT WHAT
is() { [ "$1" = "$2" ] || fail "$3: got '$1', want '$2'"; }

# refused PATTERN COMMAND...: the command must fail (not hang, not crash) and say something that fits the pattern.
refused() {
	local pattern=$1 out rc=0
	shift
	out=$(timeout -k 5 60 "$@" 2>&1) || rc=$?
	[ $rc -ne 0 ] || fail "'$*' succeeded: $out"
	[ $rc -lt 124 ] || fail "'$*' ended with status $rc: $out"
	grep -qiE -- "$pattern" <<<"$out" || fail "'$*' does not say /$pattern/ but: $out"
}

# eventually SECONDS COMMAND...: succeeds within that time.
eventually() {
	local end=$(($(date +%s) + $1))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -le $end ] || fail "did not become true: $*"
		sleep 0.1
	done
}

weft() { "$WEFT" "$1" --dir "$D" "${@:2}"; }
# For verbs of two words: weft2 target list...
weft2() { "$WEFT" "$1" "$2" --dir "$D" "${@:3}"; }

# Which helper programs the test needs.
need() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null || skip "$p is not installed"
	done
}

it_begin() {
	[ "$(id -u)" = 0 ] || skip "only root mounts and plays other users"
	[ -c /dev/fuse ] || skip "no /dev/fuse"
	[ -x "$WEFT" ] || fail "$WEFT is not built"
	need jq
	T=$(mktemp -d "${WEFT_TMP:-/var/tmp}/weft-$IT_NAME.XXXX")
	chmod 755 "$T"
	D=$T/c
	M=$T/mnt
	trap it_exit EXIT
	trap 'it_err $? $LINENO "$BASH_COMMAND"' ERR
	trap 'exit 1' INT TERM HUP
}

it_err() {
	echo "FAILED in step '$IT_STEP': line $2: '$3' ended with status $1" >&2
}

# it_up [weft up's options...]: a cluster with a mount on $M.
it_up() { timeout -k 5 180 "$WEFT" up --dir "$D" --mount "$M" "$@" >>"$T/up.out"; }

# it_again [options]: starts again what is down.
it_again() { timeout -k 5 180 "$WEFT" up --dir "$D" "$@" >>"$T/up.out"; }

it_down() { timeout -k 5 120 "$WEFT" down --dir "$D" "$@" >>"$T/up.out"; }

# it_mount NAME [options]: a further mount of the cluster on $T/NAME.
it_mount() {
	local path=$T/$1
	mkdir -p "$path"
	"$WEFT" mount --dir "$D" --foreground "${@:2}" "$path" >>"$T/$1.log" 2>&1 &
	echo $! >"$T/$1.pid" # weft mount becomes weft-mount
	IT_MOUNTS+=("$path")
	eventually 30 mountpoint -q "$path"
}

# Process id of a daemon of the cluster, by name.
pid_of() { cat "$D/run/$1.pid"; }
daemons() { jq -r '.daemons[].name' "$D/cluster.json"; }

# A process is no more; zombies that nobody collects count as gone.
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.*zombie' "/proc/$1/status" 2>/dev/null; }

# kill_daemon NAME [SIGNAL]: and waits until it is gone.
kill_daemon() {
	local pid
	pid=$(pid_of "$1")
	kill "-${2:-KILL}" "$pid"
	eventually 30 gone "$pid"
}

alive() { ! gone "$(pid_of "$1")"; }

# Every daemon runs, and no log has the report of a crash or of a sanitizer.
it_healthy() {
	local d
	for d in $(daemons); do
		alive "$d" || fail "$d died: $(tail -5 "$D/log/$d.log")"
	done
	it_logs_clean
}

it_logs_clean() {
	local bad
	bad=$(grep -lsE 'AddressSanitizer|LeakSanitizer|runtime error:|[Aa]ssertion|assert.*failed|panic' "$D"/log/*.log "$T"/*.log || true)
	[ -z "$bad" ] || {
		grep -hE -A 25 'AddressSanitizer|LeakSanitizer|runtime error:|[Aa]ssertion|assert.*failed|panic' $bad | head -60 >&2
		fail "reports in $bad"
	}
}

# The usual end: all is well, stops cleanly.
it_end() {
	step "end"
	it_healthy
	local m
	for m in "${IT_MOUNTS[@]}"; do
		umount "$m"
	done
	IT_MOUNTS=()
	it_down
	wait
	it_logs_clean
	say "passed"
}

it_exit() {
	local rc=$? f m pid
	trap - EXIT ERR
	set +e
	cd /
	if [ $rc -ne 0 ] && [ $rc -ne 77 ]; then
		for f in "$D"/log/*.log "$T"/*.log; do
			[ -s "$f" ] && printf -- '---- %s\n' "$f" && tail -n 12 "$f"
		done >&2
	fi
	# Processes of the test by their own pid files only.
	for m in "${IT_MOUNTS[@]}" "$M"; do
		mountpoint -q "$m" 2>/dev/null && timeout 10 umount "$m" 2>/dev/null
	done
	if [ -f "$D/cluster.json" ]; then
		timeout 40 "$WEFT" down --dir "$D" --force >/dev/null 2>&1
		for f in "$D"/run/*.pid; do
			pid=$(cat "$f" 2>/dev/null)
			case $(cat "/proc/$pid/comm" 2>/dev/null) in weft-*) kill -9 "$pid" ;; esac
		done
	fi
	for pid in $(jobs -p); do
		kill "$pid" 2>/dev/null
	done
	sleep 0.1
	for pid in $(jobs -p); do
		kill -9 "$pid" 2>/dev/null
	done
	# Mounts of daemons that are dead now, and of local file systems.
	for m in "${IT_MOUNTS[@]}" "$M" "${IT_LOOPS[@]}"; do
		[ -n "$m" ] && grep -q " $m " /proc/self/mounts && umount -l "$m" 2>/dev/null
	done
	for f in "${IT_NETNS[@]}"; do
		ip netns del "$f" 2>/dev/null
	done
	wait 2>/dev/null
	if [ -n "${WEFT_KEEP:-}" ]; then
		echo "# left in $T"
	elif [ -n "$T" ]; then
		rm -rf --one-file-system "$T"
	fi
	exit $rc
}
