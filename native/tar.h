/* One member of a tar, as tar.c finds it and samples.c groups it; datasets/members.py reads the same eight numbers. */
#ifndef VETSET_TAR_H
#define VETSET_TAR_H

#include <stdint.h>

enum { FILE_KIND, DIRECTORY, HARD_LINK, SYMBOLIC_LINK, DEVICE, FIFO, SPARSE, UNKNOWN, GLOBAL_HEADER, TRUNCATED, DAMAGED };

/* Its name lies at name_at until name_end in a buffer of names. */
typedef struct { int64_t kind, start, data, size, stop, name_at, name_end, picture; } Record;

#endif
