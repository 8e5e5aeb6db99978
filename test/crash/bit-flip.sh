#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A bit turns over in the file of an object: reading that place is EIO, the daemon's log names the object, other files are untouched,
# and the wrong bytes are never given out.
. "$(dirname "$0")/../it/lib.sh"
it_begin
it_up --meta 1 --storage 2

step "files"
for i in $(seq 10); do
	head -c 300000 /dev/urandom >"$T/f$i"
	weft setstripe -c 1 "$M/f$i"
	cat "$T/f$i" >"$M/f$i"
done
weft sync "$M"
read -r target object < <(weft stat --json "$M/f5" | jq -r '.[0].layout.components[0].objects[0] | "\(.target) \(.object)"')
file=$(find "$D/storage$target" -type f -name "*$object*" | head -1)
[ -n "$file" ] || fail "object $object is not in the folder of storage target $target"
offset=$(python3 - "$T/f5" "$file" <<-'END'
	import sys
	data, raw = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
	print(raw.find(data[100000:100064]))
END
)
[ "$offset" -ge 0 ] || fail "the object's file does not hold the data as they are"

step "flip"
it_down
python3 - "$file" "$offset" <<-'END'
	import sys
	f = open(sys.argv[1], "r+b")
	f.seek(int(sys.argv[2]))
	b = f.read(1)[0]
	f.seek(int(sys.argv[2]))
	f.write(bytes([b ^ 0x10]))
END
it_again

step "read"
rc=0
cat "$M/f5" >"$T/out" 2>"$T/err" || rc=$?
[ $rc != 0 ] || fail "reading the damaged file succeeded"
grep -q 'Input/output error' "$T/err" || fail "cat says: $(cat "$T/err")"
cmp "$T/out" <(head -c "$(stat -c %s "$T/out")" "$T/f5") || fail "wrong bytes were given out"
grep -q "$object" "$D/log/storage$target.log" || fail "the log of storage$target does not name the object $object"
for i in 1 2 3 4 6 7 8 9 10; do cmp "$T/f$i" "$M/f$i"; done
is "$(dd if="$M/f5" bs=4096 count=10 status=none | sha256sum)" "$(head -c 40960 "$T/f5" | sha256sum)" "the undamaged head of the file"

step "written anew it is well again"
cat "$T/f5" >"$M/f5"
cmp "$T/f5" "$M/f5"
rm "$M/f5"
it_end
