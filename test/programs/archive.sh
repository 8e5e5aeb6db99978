#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# tar, diff, cp, rsync, find, du: a tree comes back as it was.
. "$(dirname "$0")/../it/lib.sh"
it_begin
need tar rsync diff
it_up

step "a tree"
mkdir "$T/tree"
tar -C / -cf - usr/include/linux usr/include/x86_64-linux-gnu etc 2>/dev/null | tar -C "$T/tree" -xf - 2>/dev/null || true
cp -a "$IT_ROOT/src" "$T/tree/src"
ln "$T/tree/src/meson.build" "$T/tree/hard"
truncate -s 50M "$T/tree/sparse"
head -c 7000000 /dev/urandom >"$T/tree/large"
say "$(find "$T/tree" | wc -l) entries"

step "tar"
tar --format=posix -C "$T" -cf "$T/tree.tar" tree
tar -C "$M" -xf "$T/tree.tar"
diff -r --no-dereference "$T/tree" "$M/tree" || fail "diff"
list() { (cd "$1" && find . -printf '%p %y %m %U %G %n %T@ %l\n' | sed '/ d /s/ [0-9]* \([0-9.]* \)$/ \1/' | LC_ALL=C sort); }
diff <(list "$T/tree") <(list "$M/tree") >"$T/diff" || {
	sed -n 1,9p "$T/diff"
	fail "owners, modes, links or times differ"
}
tar -C "$M" -cf - tree | tar -C "$T/" -df - || fail "tar -d"

mkfifo "$T/tree/fifo" # diff would not read one

step "rsync"
rsync -aHX "$T/tree/" "$M/rsynced/"
rsync -aHXi --checksum "$T/tree/" "$M/rsynced/" | tee "$T/second"
[ ! -s "$T/second" ] || fail "the second rsync had work"
echo changed >>"$T/tree/src/meson.build"
rsync -aHX --delete "$T/tree/" "$M/rsynced/"
[ -p "$M/rsynced/fifo" ]
rm "$T/tree/fifo" "$M/rsynced/fifo"
diff -r --no-dereference "$T/tree" "$M/rsynced"

step "cp and mv"
cp -a "$M/tree" "$M/copy"
diff -r --no-dereference "$M/tree" "$M/copy"
mv "$M/copy" "$M/moved"
diff -r --no-dereference "$M/tree" "$M/moved"
rm -rf "${M:?}"/*
is "$(ls -A "$M")" "" "the mount after rm -rf"
it_end
