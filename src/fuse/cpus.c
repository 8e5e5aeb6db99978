/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "fuse/cpus.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static cpu_set_t allowed;
static unsigned allowed_n;

unsigned cpus_allowed(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (allowed_n)
		return allowed_n;
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || !CPU_COUNT(&allowed)) {
		CPU_ZERO(&allowed);
		for (long i = 0; i < MAX(online, 1) && i < CPU_SETSIZE; i++)
			CPU_SET((size_t)i, &allowed);
	}
	allowed_n = (unsigned)CPU_COUNT(&allowed);
	return allowed_n;
}

/* A list as "0-3,8-11". */
unsigned cpus_possible(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned n = 0, first, last;
	int got, c;

	while (f && (got = fscanf(f, "%u-%u", &first, &last)) >= 1) {
		n += got == 2 && last >= first ? last - first + 1 : 1;
		c = fgetc(f);
		if (c != ',')
			break;
	}
	if (f)
		fclose(f);
	return n ? n : (unsigned)MAX(sysconf(_SC_NPROCESSORS_CONF), 1);
}

/* Allowed CPUs go round by their rank among the allowed, so that each thread gets as many; others by number. */
static unsigned thread_of(unsigned cpu, unsigned n)
{
	unsigned rank = 0;

	if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &allowed))
		return cpu % n;
	for (unsigned i = 0; i < cpu; i++)
		rank += CPU_ISSET(i, &allowed) ? 1 : 0;
	return rank % n;
}

unsigned cpus_queues(unsigned t, unsigned n, unsigned **ret)
{
	unsigned possible = cpus_possible(), found = 0;

	(void)cpus_allowed();
	*ret = xcalloc(possible, sizeof(**ret));
	for (unsigned cpu = 0; cpu < possible; cpu++)
		if (thread_of(cpu, n) == t)
			(*ret)[found++] = cpu;
	return found;
}

void cpus_pin(unsigned t, unsigned n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && thread_of(cpu, n) == t)
			CPU_SET(cpu, &set);
	if (CPU_COUNT(&set))
		(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}
