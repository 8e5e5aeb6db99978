#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Servers are killed at random and started again under load: applications see no error, nothing acknowledged is lost, and what was
# removed stays removed. Arguments: [SECONDS [SEED]]
. "$(dirname "$0")/../it/lib.sh"
it_begin
seconds=${1:-45} seed=${2:-$RANDOM}
say "seed $seed"
RANDOM=$seed
it_up
mkdir "$T/logs" "$M/w"

step "load, with kills for $seconds s"
"$TEST_BIN/crash/oracle" run "$M/w" "$T/logs" 4 "$seconds" "$seed" >"$T/oracle.out" 2>&1 &
load=$!
end=$(($(date +%s) + seconds - 3))
kills=0
mapfile -t servers < <(daemons | grep -v mount)
while [ "$(date +%s)" -lt $end ] && kill -0 $load 2>/dev/null; do
	sleep 0.$((RANDOM % 9 + 1))
	case $((RANDOM % 5)) in
	0) victims=("${servers[@]}") ;;                                     # all at once
	1) mapfile -t victims < <(printf '%s\n' "${servers[@]}" | grep meta) ;; # all of a kind
	2) mapfile -t victims < <(printf '%s\n' "${servers[@]}" | grep storage) ;;
	*) victims=("${servers[RANDOM % ${#servers[@]}]}") ;;
	esac
	pids=$(for v in "${victims[@]}"; do pid_of "$v"; done)
	# shellcheck disable=SC2086
	kill -9 $pids 2>/dev/null || true
	for p in $pids; do eventually 10 gone "$p"; done
	[ $((RANDOM % 2)) = 0 ] && sleep 0.$((RANDOM % 9))
	it_again
	kills=$((kills + ${#victims[@]}))
	sleep $((RANDOM % 2))
done
rc=0
wait $load || rc=$?
cat "$T/oracle.out"
say "$kills daemons killed"
[ $rc = 0 ] || fail "the application saw an error, status $rc"
grep -qE ': [0-9]{2,} operations' "$T/oracle.out" || fail "the load did nothing"

step "verify"
"$TEST_BIN/crash/oracle" verify "$M/w" "$T/logs" 4 || fail "see above"
it_mount other
"$TEST_BIN/crash/oracle" verify "$T/other/w" "$T/logs" 4 || fail "on another mount, see above"

step "verify after down and up"
umount "$T/other"
IT_MOUNTS=()
it_down
it_again
"$TEST_BIN/crash/oracle" verify "$M/w" "$T/logs" 4 || fail "see above"
rm -rf "$M/w"
is "$(ls -A "$M")" "" "the mount after rm -rf"
it_end
