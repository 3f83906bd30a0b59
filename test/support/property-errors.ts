/** A property that fails names the error of its counterexample, which reports cut to the message need. */
import fc from 'fast-check';

fc.configureGlobal({ includeErrorInReport: true });
