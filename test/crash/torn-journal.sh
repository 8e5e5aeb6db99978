#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What follows the last record of a metadata journal is garbage, zeros or cut off while all is down, as a crash in the middle of a write
# leaves it: the target starts, and everything acknowledged is there. Then the last record itself is torn: it starts, and only what that
# record held is missing. Damage in the middle is refused with a message that names the segment.
. "$(dirname "$0")/../it/lib.sh"
it_begin
it_up --meta 1 --storage 1

step "find the journal"
journal=$(dirname "$(find "$D/meta0" -type f -path '*journal*' | head -1)")
[ "$journal" != . ] || fail "no journal in the target's folder"
tail_of() { read -r file last end < <(python3 "$IT_ROOT/test/crash/journal_tail.py" "$journal"); }
tail_of
say "segment $(basename "$file"), $(stat -c %s "$file") bytes"

crash() {
	for d in $(daemons); do kill_daemon "$d"; done # no clean end: the journal is needed
	umount -l "$M" 2>/dev/null || true
	tail_of
	say "$(basename "$file"): last batch at $last, ends at $end"
}

mkdir "$M/w" "$T/logs"
for how in garbage zeros half; do
	step "tail: $how"
	"$TEST_BIN/crash/oracle" run "$M/w" "$T/logs" 2 3 77 >"$T/oracle.out" || { cat "$T/oracle.out"; fail "load"; }
	crash
	case $how in
	garbage) head -c 30000 /dev/urandom | dd of="$file" bs=4096 seek=$((end / 4096)) conv=notrunc status=none ;;
	zeros) head -c 65536 /dev/zero | dd of="$file" bs=4096 seek=$((end / 4096)) conv=notrunc status=none ;;
	half) # the first block of a batch, without its rest
		dd if="$file" of="$file" bs=4096 skip=$((last / 4096)) seek=$((end / 4096)) count=1 conv=notrunc status=none
		head -c 3000 /dev/urandom | dd of="$file" bs=1 seek=$((end + 100)) conv=notrunc status=none
		;;
	esac
	it_again
	"$TEST_BIN/crash/oracle" verify "$M/w" "$T/logs" 2 || fail "after a tail of $how"
	rm -rf "$M/w"
	mkdir "$M/w"
done

step "the last record torn"
for i in $(seq 200); do mkdir "$M/w/d$i"; done
crash
[ "$last" -gt 0 ] || fail "no batch in the journal"
head -c 16 /dev/urandom | dd of="$file" bs=1 seek=$((last + 60)) conv=notrunc status=none
it_again
n=$(ls "$M/w" | wc -l)
say "$n of 200 directories are there"
for i in $(seq "$n"); do [ -d "$M/w/d$i" ] || fail "d$i is missing, though $n directories are there"; done
[ "$n" -ge 190 ] || fail "more than the last record is lost"
mkdir "$M/w/new"

step "a record in the middle damaged"
for i in $(seq 201 300); do mkdir "$M/w/d$i"; done
crash
[ "$last" -gt 8192 ] || fail "only one batch"
cp "$file" "$T/segment"
head -c 16 /dev/urandom | dd of="$file" bs=1 seek=$((4096 + 60)) conv=notrunc status=none
if timeout -k 5 60 "$WEFT" up --dir "$D" --no-mount >"$T/out" 2>&1; then
	say "started: all of that had been applied already"
else
	grep -q "$(basename "$file")" "$T/out" || { cat "$T/out"; fail "the message does not name the segment"; }
fi
for d in $(daemons); do kill -9 "$(pid_of "$d")" 2>/dev/null || true; done
sleep 0.3
cp "$T/segment" "$file"
it_again
for i in $(seq 201 300); do [ -d "$M/w/d$i" ] || fail "d$i is missing after the damage was undone"; done
it_end
