/* Loaded before a process by LD_PRELOAD: whatever makes bytes durable takes as many milliseconds longer as the file says, as on a disk that fails. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t *extra_ms;

__attribute__((constructor)) static void look(void) {
  const char *path = getenv("POLDER_TORTURE_DISK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *shared = mmap(0, sizeof(int32_t), PROT_READ, MAP_SHARED, file, 0);
  if (shared != MAP_FAILED) extra_ms = shared;
  close(file);
}

static void take_longer(void) {
  int32_t ms = extra_ms ? *extra_ms : 0;
  if (ms <= 0) return;
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) != 0) continue;
}

int fsync(int file) {
  take_longer();
  return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
  take_longer();
  return syscall(SYS_fdatasync, file);
}

int msync(void *from, size_t length, int flags) {
  take_longer();
  return syscall(SYS_msync, from, length, flags);
}
