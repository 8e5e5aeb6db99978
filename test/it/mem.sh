#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The backend in memory works like the one on disk, and is empty after down.
. "$(dirname "$0")/lib.sh"
it_begin
step "up"
it_up --backend mem
cp -r "$IT_ROOT/test" "$M/source"
diff -r "$IT_ROOT/test" "$M/source"
head -c 20000000 /dev/urandom >"$T/data"
cp "$T/data" "$M/data"
cmp "$T/data" "$M/data"
mkdir "$M/posix"
step "some POSIX checks"
POSIX_BIN=$TEST_BIN/posix "$IT_ROOT/test/posix/run" "$M/posix" open rename truncate rw
step "nothing on disk"
kb=$(du -sk "$D" --exclude log | cut -f1)
[ "$kb" -lt 4096 ] || fail "the folder of a cluster in memory has $kb KiB"
it_healthy
step "empty after down"
it_down
it_again
is "$(ls -A "$M")" "" "a cluster in memory after down and up"
echo again >"$M/f"
is "$(cat "$M/f")" again "a new file"
it_end
