#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Everything is killed at one instant, the mount included, as by a power cut (but the page cache stays); what was acknowledged is there
# after the start. Arguments: [ROUNDS [SEED]]
. "$(dirname "$0")/../it/lib.sh"
it_begin
rounds=${1:-5} seed=${2:-$RANDOM}
say "seed $seed"
RANDOM=$seed
it_up
for r in $(seq "$rounds"); do
	step "round $r"
	mkdir "$T/logs.$r" "$M/w$r"
	"$TEST_BIN/crash/oracle" run "$M/w$r" "$T/logs.$r" 4 60 $((seed + r)) >"$T/oracle.out" 2>&1 &
	load=$!
	sleep $((RANDOM % 3 + 1)).$((RANDOM % 10))
	kill -0 $load 2>/dev/null || { cat "$T/oracle.out"; fail "the load ended by itself"; }
	pids=$(cat "$D"/run/*.pid)
	# shellcheck disable=SC2086
	kill -9 $pids
	rc=0
	wait $load || rc=$?
	[ $rc = 2 ] || [ $rc = 1 ] || { cat "$T/oracle.out"; fail "the load ended with status $rc"; }
	for p in $pids; do eventually 10 gone "$p"; done
	it_again
	for k in $(seq "$r"); do # also what earlier rounds left
		"$TEST_BIN/crash/oracle" verify "$M/w$k" "$T/logs.$k" 4 || fail "round $k after crash $r, see above"
	done
	[ $((r % 3)) = 0 ] && rm -rf "$M/w$r" && mkdir "$M/w$r" && rm -rf "$T/logs.$r" && mkdir "$T/logs.$r" &&
		mkdir "$M/w$r/common" "$M/w$r"/own.{0,1,2,3} && touch "$T/logs.$r"/{0,1,2,3}
done
it_end
