#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Layouts: setstripe and its inheritance; objects lie where stat says, and hold the bytes that the layout says.
. "$(dirname "$0")/lib.sh"
it_begin
it_up --storage 4

targets() { weft stat --json "$1" | jq -r '[.[0].layout.components[].objects[].target] | unique | join(" ")'; }
count() { weft stat --json "$1" | jq -r '.[0].layout.components | last | .objects | length'; }

step "default"
head -c 9000000 /dev/urandom >"$T/data"
cp "$T/data" "$M/plain"
weft stat --json "$M/plain" | jq -e '.[0] | .size == 9000000 and .type == "file" and (.layout.components | length) >= 1' >/dev/null

step "count and size of a file"
for c in 1 2 3 4; do
	weft setstripe -c $c -S 256K "$M/s$c"
	is "$(count "$M/s$c")" $c "stripes of s$c"
	cat "$T/data" >"$M/s$c"
	cmp "$T/data" "$M/s$c"
	is "$(weft stat --json "$M/s$c" | jq '.[0].layout.components[0].stripe_size')" 262144 "stripe size"
done
weft setstripe -c 0 "$M/all"
is "$(count "$M/all")" 4 "stripes of a file over all targets"
refused 'has data' "$WEFT" setstripe -c 1 "$M/s4"
refused '64K' "$WEFT" setstripe -S 1000 "$M/odd"
refused 'say what' "$WEFT" setstripe "$M/odd"
rm -f "$M/odd"

step "inheritance"
mkdir "$M/d"
weft setstripe -c 2 -S 128K "$M/d"
mkdir -p "$M/d/e/f"
echo x >"$M/d/e/f/file"
is "$(count "$M/d/e/f/file")" 2 "stripes of a file deep below"
is "$(weft getstripe --json "$M/d/e/f" | jq '.[0].layout.components[0].stripe_size')" 131072 "inherited stripe size"
weft setstripe -c 3 "$M/d/e"
mkdir "$M/d/e/new"
echo x >"$M/d/e/new/file"
is "$(count "$M/d/e/new/file")" 3 "stripes after a change"
is "$(count "$M/d/e/f/file")" 2 "stripes of the older file"

step "objects lie where stat says"
weft setstripe -c 4 -S 64K "$M/o"
head -c 1000000 /dev/urandom >"$T/o"
cat "$T/o" >"$M/o"
weft sync "$M"
weft stat --json "$M/o" | jq -r '.[0].layout.components[] | .objects[] | "\(.target) \(.object) \(.stripe)"' >"$T/objects"
is "$(wc -l <"$T/objects")" 4 "objects"
is "$(cut -d' ' -f1 "$T/objects" | sort -u | wc -l)" 4 "targets"
while read -r target object stripe; do
	file=$(find "$D/storage$target" -type f -name "*$object*" | head -1)
	[ -n "$file" ] || fail "object $object is not in the folder of storage target $target"
	# Stripe k holds the units k, k + 4, ...
	python3 - "$T/o" "$file" "$stripe" <<-'END'
		import sys
		data, raw, k = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read(), int(sys.argv[3])
		want = b"".join(data[i:i + 65536] for i in range(k * 65536, len(data), 4 * 65536))
		if raw.find(want[:4096]) < 0:
		    sys.exit("the object's file does not hold its stripe's bytes")
	END
done <"$T/objects"

step "objects go with the file"
rm "$M/o"
while read -r target object stripe; do
	eventually 30 bash -c "[ -z \"\$(find '$D/storage$target' -type f -name '*$object*')\" ]"
done <"$T/objects"

step "pools"
weft2 pool create two
weft2 pool assign two storage:3 storage:4
mkdir "$M/p"
weft setstripe -c 0 -p two "$M/p"
for i in 1 2 3 4; do
	echo x >"$M/p/$i"
	for t in $(targets "$M/p/$i"); do
		[ "$t" = 3 ] || [ "$t" = 4 ] || fail "a file of pool two on target $t"
	done
done
refused 'pool' "$WEFT" setstripe -p nonsense "$M/p"

step "after a restart"
it_down
it_again
is "$(count "$M/d/e/f/file")" 2 "stripes after a restart"
for c in 1 2 3 4; do cmp "$T/data" "$M/s$c"; done
cmp "$T/data" "$M/plain"
it_end
