#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The disk beneath the cluster runs full: ENOSPC, nothing breaks; files are deleted, and all works again. Once on tmpfs, once on ext4.
. "$(dirname "$0")/../it/lib.sh"
it_begin

on_small_disk() { # kind
	local i n=0 rc
	step "$1: up"
	mkdir "$T/small"
	if [ "$1" = ext4 ]; then
		truncate -s 320M "$T/image"
		mkfs.ext4 -q -m 0 "$T/image"
		mount -o loop "$T/image" "$T/small" || { say "no loop devices here, skipping ext4"; rmdir "$T/small"; return 0; }
	else
		mount -t tmpfs -o size=300m none "$T/small"
	fi
	D=$T/small/c
	it_up --storage 2
	mkdir "$T/keep.$1" "$M/keep"
	for i in $(seq 30); do
		head -c $((i * 3001)) /dev/urandom >"$T/keep.$1/$i"
		cp "$T/keep.$1/$i" "$M/keep/$i"
	done
	sync -f "$M"

	step "$1: fill with large files"
	head -c 4000000 /dev/urandom >"$T/data"
	while [ $n -lt 200 ]; do
		rc=0
		timeout 60 dd if="$T/data" of="$M/big.$n" bs=100k conv=fsync 2>"$T/dd.err" || rc=$?
		[ $rc = 0 ] || break
		n=$((n + 1))
	done
	[ $rc != 0 ] || fail "400 MB fitted into 300 MB"
	[ $rc -lt 124 ] || fail "dd hung or was killed: status $rc"
	grep -q 'No space left' "$T/dd.err" || fail "dd says: $(cat "$T/dd.err")"
	[ $n -ge 20 ] || fail "only $n files of 4 MB fitted"
	say "$1: full after $n files of 4 MB"

	step "$1: fill with small ones"
	for i in $(seq 3000); do
		echo "small $i" >"$M/small.$i" 2>"$T/err" || { grep -q 'No space left' "$T/err" || fail "small files: $(cat "$T/err")"; break; }
	done
	diff -r "$T/keep.$1" "$M/keep"
	for ((i = 0; i < n; i += 7)); do cmp "$T/data" "$M/big.$i"; done

	step "$1: delete, works again"
	find "$M" -maxdepth 1 \( -name 'big.*' -o -name 'small.*' \) -delete || fail "cannot delete on a full disk"
	eventually 60 dd if="$T/data" of="$M/again" bs=1M conv=fsync
	cmp "$T/data" "$M/again"
	for i in $(seq 200); do echo "$i" >"$M/again.$i"; done
	diff -r "$T/keep.$1" "$M/keep"

	step "$1: another program takes all that is left"
	head -c 500000000 /dev/zero >"$T/small/hog" 2>/dev/null || true
	for i in $(seq 200); do
		rc=0
		timeout 30 bash -c 'echo "$1" >"$2"' - "$i" "$M/late.$i" 2>"$T/err" || rc=$?
		[ $rc -lt 124 ] || fail "creating on a full disk hung"
		[ $rc = 0 ] || { grep -q 'No space left' "$T/err" || fail "creating says: $(cat "$T/err")"; break; }
	done
	[ $rc != 0 ] || fail "200 files were made on a full disk"
	for i in $(seq 100); do
		timeout 30 rm "$M/again.$i" || fail "cannot delete while another program fills the disk"
	done
	timeout 30 truncate -s 5 "$M/again" || fail "cannot truncate"
	diff -r "$T/keep.$1" "$M/keep"
	sleep 2 # what was deleted goes for good meanwhile
	rm "$T/small/hog"
	eventually 60 dd if="$T/data" of="$M/again" bs=1M conv=fsync
	[ ! -e "$M/again.5" ] || fail "deleted, and still there"
	for i in $(seq 100); do echo "$i" >"$M/again.$i"; done

	step "$1: down and up"
	it_healthy
	it_down
	it_again
	cmp "$T/data" "$M/again"
	diff -r "$T/keep.$1" "$M/keep"
	is "$(cat "$M/again.77")" 77 "small file"
	it_healthy
	it_down
	it_wait
	umount "$T/small"
	rmdir "$T/small"
}

on_small_disk tmpfs
command -v mkfs.ext4 >/dev/null && on_small_disk ext4
say passed
