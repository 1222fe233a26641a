/* Pages of a Parquet file without some of their rows. */
#include "native.h"

PyMethodDef parquet_methods[] = {{NULL, NULL, 0, NULL}};
