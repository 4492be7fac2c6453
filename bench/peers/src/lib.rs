//! What the peers' programs share: the clock and the form of a result line.

/// CPU time of this process in milliseconds.
pub fn cpu() -> f64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts) };
    ts.tv_sec as f64 * 1e3 + ts.tv_nsec as f64 * 1e-6
}

/// Prints one line: peer, suite, n, t, phase, least and middle of the samples in milliseconds, each divided by `parties`.
pub fn report(peer: &str, suite: &str, n: u16, t: u16, phase: &str, parties: u16, samples: &mut [f64]) {
    samples.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let per = f64::from(parties);
    println!("{peer}\t{suite}\t{n}\t{t}\t{phase}\t{:.6}\t{:.6}", samples[0] / per, samples[samples.len() / 2] / per);
}

/// How many runs: the first argument.
pub fn runs() -> usize {
    std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(20)
}
