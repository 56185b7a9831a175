/** A zygote that cannot fork. */
process.exitCode = 1;
