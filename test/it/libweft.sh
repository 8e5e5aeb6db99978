#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The client library against real daemons, also while a metadata target is killed again and again.
. "$(dirname "$0")/lib.sh"
it_begin
it_up --no-mount

lib() {
	timeout 100 "$TEST_BIN/it/libweft" "unix:$D/run/mgmtd.sock" "$D/secret" "$@" >"$T/out" || {
		grep -v "^ok " "$T/out"
		fail "libweft $*"
	}
}

for seed in 1 2 3; do
	step "seed $seed"
	lib $seed 1500
done

step "a metadata target that is killed every half second"
(for i in 1 2 3 4 5 6; do
	sleep 0.4
	kill_daemon meta0
	it_again --no-mount
done) &
killer=$!
for seed in 4 5 6; do
	lib $seed 2500
done
wait $killer
it_end
