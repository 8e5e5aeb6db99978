#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The POSIX checks on a mount: posix.sh [AREA...]
. "$(dirname "$0")/lib.sh"
it_begin
step "up"
it_up
mkdir "$M/posix"
step "checks"
rc=0
# The kernel opens special files without asking a FUSE file system that caches no attributes.
if [ "$(printf '6.16\n%s\n' "$(uname -r)" | sort -V | head -1)" != 6.16 ]; then
	export POSIX_SPECIAL_FILES_UNCHECKED=1
fi
POSIX_BIN=$TEST_BIN/posix "$IT_ROOT/test/posix/run" "$M/posix" "$@" || rc=$?
is "$(ls -A "$M/posix")" "" "what the checks left behind"
it_healthy
[ $rc = 0 ] || fail "checks failed"
it_end
