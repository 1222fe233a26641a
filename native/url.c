/* Addresses that are in normal form already, told without a parser. */
#include "native.h"

PyMethodDef url_methods[] = {{NULL, NULL, 0, NULL}};
