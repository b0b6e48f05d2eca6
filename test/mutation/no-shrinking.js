import fc from 'fast-check';

// No simpler counterexample: that there is one is enough.
fc.configureGlobal({ endOnFailure: true });
