/* Ends what an inclusion of pdq_lanes.h was told. */
#undef TARGET
#undef NAME
#undef LANES
