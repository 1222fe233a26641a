/* The module vetset._native: the kernels of the other files under one name. */
#include "native.h"

/* Names of the instructions beyond the baseline that this processor has and some kernel uses. */
static PyObject *instructions(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *found = PyList_New(0);
#if defined(__x86_64__)
    const struct { const char *name; int here; } known[] = {
        {"avx2", __builtin_cpu_supports("avx2")},
        {"avx512f", __builtin_cpu_supports("avx512f")},
        {"avx512vpopcntdq", __builtin_cpu_supports("avx512vpopcntdq")},
        {"popcnt", __builtin_cpu_supports("popcnt")},
    };
    for (size_t i = 0; found && i < sizeof known / sizeof *known; i++) {
        PyObject *name = known[i].here ? PyUnicode_FromString(known[i].name) : NULL;
        if (known[i].here && (!name || PyList_Append(found, name) < 0)) Py_CLEAR(found);
        Py_XDECREF(name);
    }
#endif
    return found;
}

static PyMethodDef module_methods[] = {
    {"instructions", instructions, METH_NOARGS, "Instructions beyond the baseline that this processor has."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef *const TABLES[] = {
    digest_methods, membership_methods, bearing_methods, url_methods,     pdq_methods,    hamming_methods,
    tar_methods,    samples_methods,    parquet_methods, thrift_methods,  module_methods,
};

static int add_all(PyObject *module) {
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        if (PyModule_AddFunctions(module, TABLES[i]) < 0) return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_all}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "vetset._native",
    .m_doc = "The hot kernels in C; vetset.kernels defines what they must answer.",
    .m_size = 0, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
