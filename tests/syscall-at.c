// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Run a command and interfere with its N-th system call that changes a file:
 *
 *   syscall-at LOG kill N COMMAND...      SIGKILL instead of that call
 *   syscall-at LOG ENOSPC N COMMAND...    that call, and every later one that needs room, fails for want of room
 *   syscall-at LOG EIO N COMMAND...       that call and every later one fails with an input/output error
 *
 * N = 0 interferes with nothing. LOG gets a line for each call that counts. The exit status is the command's.
 *
 * Calls of all threads of the command are counted together, in the order in which they happen (strace counts each
 * thread by itself); those of the programs that it starts are not. Writing counts for regular files only, and not for messages:
 * those still get out. Opening counts if it makes or empties a file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "knows the registers of x86-64 only"
#endif

enum how { FD = 1, FD2, PATH, AT, OPEN, OPENAT };
enum needs { ROOM = 1, DISK = 2 };

static const struct {
	long nr;
	const char *name;
	enum how how;
	enum needs needs;
} calls[] = {
#define C(name, how, needs) { SYS_##name, #name, how, needs }
	C(write, FD, ROOM), C(pwrite64, FD, ROOM), C(writev, FD, ROOM), C(pwritev, FD, ROOM), C(pwritev2, FD, ROOM),
	C(copy_file_range, FD2, ROOM), C(sendfile, FD, ROOM), C(fallocate, FD, ROOM), C(ftruncate, FD, DISK), C(truncate, PATH, DISK),
	C(mkdir, PATH, ROOM), C(mkdirat, AT, ROOM), C(mknod, PATH, ROOM), C(mknodat, AT, ROOM),
	C(symlink, PATH, ROOM), C(symlinkat, PATH, ROOM), C(link, PATH, ROOM), C(linkat, AT, ROOM),
	C(open, OPEN, ROOM), C(openat, OPENAT, ROOM), C(creat, PATH, ROOM),
	C(rename, PATH, DISK), C(renameat, AT, DISK), C(renameat2, AT, DISK),
	C(unlink, PATH, DISK), C(unlinkat, AT, DISK), C(rmdir, PATH, DISK),
	C(fsync, FD, DISK), C(fdatasync, FD, DISK), C(syncfs, FD, DISK),
	C(chmod, PATH, DISK), C(fchmod, FD, DISK), C(fchmodat, AT, DISK),
	C(chown, PATH, DISK), C(lchown, PATH, DISK), C(fchown, FD, DISK), C(fchownat, AT, DISK),
	C(utimensat, AT, DISK),
};

static char text[PATH_MAX], whole[PATH_MAX + 64];

static const char *string(pid_t tid, unsigned long at)
{
	struct iovec to = { text, sizeof(text) - 1 }, from = { (void *)at, 0 };
	size_t page = 4096 - at % 4096;
	ssize_t n;

	/* No further than the page's end, unless the string goes on there. */
	from.iov_len = page;
	n = process_vm_readv(tid, &to, 1, &from, 1, 0);
	if (n < 0)
		n = 0;
	if (n > 0 && !memchr(text, 0, n) && n < PATH_MAX - 1) {
		struct iovec rest = { text + n, sizeof(text) - 1 - n };
		struct iovec more = { (void *)(at + n), rest.iov_len < 4096 ? rest.iov_len : 4096 };
		ssize_t m = process_vm_readv(tid, &rest, 1, &more, 1, 0);
		n += m > 0 ? m : 0;
	}
	text[n] = 0;
	return text;
}

static const char *below(pid_t tid, long dir, const char *path)
{
	if (path[0] == '/')
		return path;
	if ((int)dir == AT_FDCWD)
		snprintf(whole, sizeof(whole), "/proc/%d/cwd/%s", tid, path);
	else
		snprintf(whole, sizeof(whole), "/proc/%d/fd/%d/%s", tid, (int)dir, path);
	return whole;
}

/* What the call is about; nothing if it changes no file. */
static const char *about(pid_t tid, enum how how, const __uint64_t *a)
{
	static char link[PATH_MAX];
	struct stat st;
	char fd[64];
	const char *path;
	long flags;
	ssize_t n;

	switch (how) {
	case PATH:
		return string(tid, a[0]);
	case AT:
		return a[1] ? below(tid, a[0], string(tid, a[1])) : "";
	case FD:
	case FD2:
		snprintf(fd, sizeof(fd), "/proc/%d/fd/%d", tid, (int)a[how == FD ? 0 : 2]);
		if (a[how == FD ? 0 : 2] <= 2 || stat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
			return NULL;
		n = readlink(fd, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = 0;
		return link;
	case OPEN:
	case OPENAT:
		flags = how == OPEN ? a[1] : a[2];
		if ((flags & O_TMPFILE) == O_TMPFILE)
			return "(unnamed)";
		if (!(flags & (O_CREAT | O_TRUNC)))
			return NULL;
		path = how == OPEN ? below(tid, AT_FDCWD, string(tid, a[0])) : below(tid, a[0], string(tid, a[1]));
		return (flags & O_TRUNC) || lstat(path, &st) ? path : NULL;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static pid_t failing[64];
	long n, count = 0;
	int error = 0, status, needs;
	pid_t root, tid;
	FILE *log;

	if (argc < 5)
		return 125;
	log = fopen(argv[1], "we");
	n = atol(argv[3]);
	needs = ROOM | DISK;
	if (!strcmp(argv[2], "ENOSPC"))
		error = ENOSPC, needs = ROOM;
	else if (!strcmp(argv[2], "EIO"))
		error = EIO;
	if (!log)
		return 125;
	root = fork();
	if (root == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(125);
		raise(SIGSTOP);
		execvp(argv[4], argv + 4);
		_exit(127);
	}
	if (waitpid(root, &status, 0) != root || !WIFSTOPPED(status))
		return 125;
	/* Threads are followed (CLONE); what is forked is not. */
	if (ptrace(PTRACE_SETOPTIONS, root, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL))
		return 125;
	ptrace(PTRACE_SYSCALL, root, 0, 0);
	while ((tid = waitpid(-1, &status, __WALL)) > 0) {
		long signal = 0;
		size_t i;

		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (tid != root)
				continue;
			fclose(log);
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info info;

			if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
				info.op = PTRACE_SYSCALL_INFO_NONE;
			for (i = 0; i < 64 && failing[i] != tid; i++)
				;
			if (info.op == PTRACE_SYSCALL_INFO_EXIT && i < 64) {
				failing[i] = 0;
				ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), (long)-error);
			}
			for (i = 0; info.op == PTRACE_SYSCALL_INFO_ENTRY && i < sizeof(calls) / sizeof(*calls); i++) {
				const char *path;

				if (calls[i].nr != (long)info.entry.nr || !(calls[i].needs & needs))
					continue;
				path = about(tid, calls[i].how, info.entry.args);
				if (!path)
					break;
				count++;
				fprintf(log, "%d %s %s\n", tid, calls[i].name, path);
				fflush(log);
				if (!error && count == n)
					kill(root, SIGKILL);
				if (error && n && count >= n) {
					for (i = 0; i < 63 && failing[i]; i++)
						;
					failing[i] = tid;
					ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L);
				}
				break;
			}
		} else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP) {
			signal = WSTOPSIG(status);
		}
		ptrace(PTRACE_SYSCALL, tid, 0, signal);
	}
	return 125;
}
