#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The tail of a metadata journal is cut off or overwritten while all is down, as a crash in the middle of a write leaves it: the target
# starts, and everything acknowledged before is there. Only what follows the last acknowledged record is damaged here.
. "$(dirname "$0")/../it/lib.sh"
it_begin
it_up --meta 1 --storage 1

# The newest segment of the target's journal: the segment with the largest name.
newest() { find "$D/meta0" -type f -path '*journal*' ! -name '*.tmp' | sort | tail -1; }

step "find the journal"
mkdir "$M/w" "$T/logs"
sync -f "$M"
f=$(newest)
[ -n "$f" ] || skip "no file of a journal in the target's folder"
say "segment $(basename "$f"), $(stat -c %s "$f") bytes"

for how in garbage zeros short; do
	step "tail: $how"
	"$TEST_BIN/crash/oracle" run "$M/w" "$T/logs" 2 3 77 >"$T/oracle.out" || { cat "$T/oracle.out"; fail "load"; }
	for d in $(daemons); do kill_daemon "$d"; done # no clean end: the journal is needed
	umount -l "$M" 2>/dev/null || true
	f=$(newest)
	cp "$f" "$T/segment.before"
	# The end of what was written: a preallocated segment ends in zeros.
	end=$(python3 -c 'import sys; print(len(open(sys.argv[1], "rb").read().rstrip(b"\0")))' "$f")
	size=$(stat -c %s "$f")
	say "$(basename "$f"): $size bytes, written up to about $end"
	at=$(((end + 4095) / 4096 * 4096)) # beyond the last record, where a torn one would begin
	case $how in
	garbage) head -c 3000 /dev/urandom | dd of="$f" bs=1 seek=$at conv=notrunc status=none ;;
	zeros) truncate -s $((at + 8192)) "$f" ;;
	short) truncate -s $at "$f" ;;
	esac
	it_again
	"$TEST_BIN/crash/oracle" verify "$M/w" "$T/logs" 2 || fail "after a tail of $how"
	rm -rf "$M/w"
	mkdir "$M/w"
done

step "the last record itself torn: starts, and only newest operations are missing"
for i in $(seq 200); do mkdir "$M/w/d$i"; done
for d in $(daemons); do kill_daemon "$d"; done
umount -l "$M" 2>/dev/null || true
f=$(newest)
end=$(python3 -c 'import sys; print(len(open(sys.argv[1], "rb").read().rstrip(b"\0")))' "$f")
head -c 16 /dev/urandom | dd of="$f" bs=1 seek=$((end - 16)) conv=notrunc status=none
it_again
n=$(ls "$M/w" | wc -l)
say "$n of 200 directories are there"
for i in $(seq "$n"); do [ -d "$M/w/d$i" ] || fail "d$i is missing, though $n directories are there"; done
[ "$n" -ge 190 ] || fail "more than the last records are lost"
mkdir "$M/w/new"
it_end
