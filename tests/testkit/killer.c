// SPDX-License-Identifier: Apache-2.0 OR MIT
// A preload library that kills CRIU at one call of the C library.
//
// KILLER_CALL=FUNCTION:NUMBER:before|after names the call: the NUMBER-th call of FUNCTION, by any process of CRIU, that
// has the text KILLER_TEXT in an argument. KILLER_VICTIM=criu|task|both says who gets SIGKILL: CRIU's main process, the
// process that makes the call, or both. The library creates the file KILLER_REACHED first.
//
// A process that CRIU forks may be in another pid namespace, so a helper process sends the signal to the main process.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum moment { BEFORE, AFTER };

// Shared by all processes of CRIU.
struct shared {
	int calls;
	volatile int is_reached;
	volatile int is_done;
};

static struct shared *shared;
static char function[32], text[256], reached[4096];
static int number, kills_criu, kills_task;
static enum moment moment;
static pid_t criu;

static void wait_a_moment(long microseconds)
{
	struct timespec time = { 0, microseconds * 1000 };
	nanosleep(&time, NULL);
}

static void help(void)
{
	setsid();
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	while (!shared->is_reached) {
		if (kill(criu, 0) < 0)
			_exit(0);
		wait_a_moment(50);
	}
	close(open(reached, O_CREAT | O_WRONLY, 0600));
	if (kills_criu)
		kill(criu, SIGKILL);
	shared->is_done = 1;
	_exit(0);
}

__attribute__((constructor)) static void start(void)
{
	const char *call = getenv("KILLER_CALL"), *victim = getenv("KILLER_VICTIM");
	char side[8];
	if (!call || !victim || strcmp(program_invocation_short_name, "criu") != 0)
		return;
	if (sscanf(call, "%31[^:]:%d:%7s", function, &number, side) != 3)
		abort();
	moment = strcmp(side, "after") == 0 ? AFTER : BEFORE;
	kills_criu = strcmp(victim, "task") != 0;
	kills_task = strcmp(victim, "criu") != 0;
	snprintf(text, sizeof(text), "%s", getenv("KILLER_TEXT"));
	snprintf(reached, sizeof(reached), "%s", getenv("KILLER_REACHED"));
	unsetenv("LD_PRELOAD");
	criu = getpid();
	void *memory = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		abort();
	shared = memory;
	// The helper must not be a child of CRIU, which waits for its children.
	pid_t child = fork();
	if (child == 0) {
		if (fork() == 0)
			help();
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static int is_the_call(const char *name, const char *first, const char *second)
{
	if (!shared || strcmp(name, function) != 0)
		return 0;
	if (!(first && strstr(first, text)) && !(second && strstr(second, text)))
		return 0;
	return __sync_add_and_fetch(&shared->calls, 1) == number;
}

static void reach(enum moment now, int is_it)
{
	if (!is_it || now != moment)
		return;
	shared->is_reached = 1;
	while (!shared->is_done)
		wait_a_moment(50);
	if (kills_task) {
		syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
		// The first process of a pid namespace cannot kill itself. It goes no further.
		if (syscall(SYS_getpid) == 1)
			for (;;)
				pause();
	}
	// Long enough for the signal to arrive, where this process is the main one.
	wait_a_moment(20000);
}

#define WRAP(type, name, symbol, parameters, arguments, first, second)            \
	type wrapped_##symbol parameters __asm__(#symbol);                         \
	type wrapped_##symbol parameters                                           \
	{                                                                          \
		static type(*real) parameters;                                     \
		if (!real)                                                         \
			real = (type(*) parameters)dlsym(RTLD_NEXT, #symbol);      \
		int is_it = is_the_call(name, first, second);                      \
		reach(BEFORE, is_it);                                              \
		type result = real arguments;                                      \
		reach(AFTER, is_it);                                               \
		return result;                                                     \
	}

#define ONE_PATH(name) WRAP(int, #name, name, (const char *path), (path), path, NULL)

ONE_PATH(rmdir)
ONE_PATH(unlink)
ONE_PATH(umount)
WRAP(char *, "mkdtemp", mkdtemp, (char *template), (template), template, NULL)
WRAP(int, "umount2", umount2, (const char *path, int flags), (path, flags), path, NULL)
WRAP(int, "unlinkat", unlinkat, (int at, const char *path, int flags), (at, path, flags), path, NULL)
WRAP(int, "mkdir", mkdir, (const char *path, mode_t mode), (path, mode), path, NULL)
WRAP(int, "mkdirat", mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), path, NULL)
WRAP(int, "rename", rename, (const char *from, const char *to), (from, to), from, to)
WRAP(int, "linkat", linkat, (int at, const char *from, int to_at, const char *to, int flags),
     (at, from, to_at, to, flags), from, to)
WRAP(int, "mount", mount,
     (const char *source, const char *target, const char *type, unsigned long flags, const void *data),
     (source, target, type, flags, data), target, type)

// Their last argument is optional. It is in a register, so what is there goes on to the C library in any case.
WRAP(int, "open", open64, (const char *path, int flags, mode_t mode), (path, flags, mode), path, NULL)
WRAP(int, "openat", openat64, (int at, const char *path, int flags, mode_t mode), (at, path, flags, mode), path, NULL)

// Calls without a text have one made of their numbers: LEVEL/OPTION, and the request in hexadecimal.
static __thread char numbers[64];

static const char *two_numbers(int level, int option)
{
	snprintf(numbers, sizeof(numbers), "%d/%d", level, option);
	return numbers;
}

static const char *hexadecimal(long request)
{
	snprintf(numbers, sizeof(numbers), "%#lx", request);
	return numbers;
}

WRAP(int, "setsockopt", setsockopt, (int fd, int level, int option, const void *value, socklen_t length),
     (fd, level, option, value, length), two_numbers(level, option), NULL)
WRAP(long, "ptrace", ptrace, (long request, long pid, long address, long data), (request, pid, address, data),
     hexadecimal(request), NULL)

// CRIU writes each line of its log with a call of its own.
static const char *line_of(const void *bytes, size_t length)
{
	static __thread char line[1024];
	size_t kept = length < sizeof(line) - 1 ? length : sizeof(line) - 1;
	memcpy(line, bytes, kept);
	line[kept] = 0;
	return line;
}

WRAP(ssize_t, "write", write, (int fd, const void *bytes, size_t length), (fd, bytes, length),
     line_of(bytes, length), NULL)
