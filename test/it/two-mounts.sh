#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Two mounts of one cluster are coherent, also after one of them died.
. "$(dirname "$0")/lib.sh"
it_begin
it_up
it_mount b
B=$T/b

step "coherence"
mkdir "$M/w"
timeout 250 "$TEST_BIN/it/coherence" "$M/w" "$B/w" >"$T/out" || {
	grep -v '^ok ' "$T/out"
	fail "coherence, see above"
}

step "many files by both, seen by both"
(for i in $(seq 300); do echo "$i" >"$M/w/a$i"; done) &
a=$!
(for i in $(seq 300); do echo "$i" >"$B/w/b$i"; done) &
wait $a $!
is "$(find "$M/w" -type f | wc -l)" 600 "files on A"
is "$(find "$B/w" -type f | wc -l)" 600 "files on B"
diff -r "$M/w" "$B/w"

step "a mount dies: its locks and open files do not stay for ever"
touch "$M/lock"
flock -x -F "$B/lock" sleep 1000 >/dev/null 2>&1 &
eventually 5 bash -c "! flock -n '$M/lock' true"
echo secret >"$B/gone"
exec 8<"$B/gone"
rm "$M/gone"
kill -9 "$(cat "$T/b.pid")"
exec 8<&-
umount -l "$B" 2>/dev/null || true
IT_MOUNTS=()
t0=$(date +%s%N)
timeout 120 flock -x "$M/lock" true || fail "the lock of a dead mount is still held after 120 s"
say "the lock was free after $((($(date +%s%N) - t0) / 1000000)) ms"
kill %% 2>/dev/null || true
it_end
