//! cggmp24 on GMP, secp256k1, its default security level (moduli of 3072 bits, 128 repetitions), with and without its
//! tables for multi-exponentiation. Prints lines as bench/peers does: peer, suite, n, t, phase, least, middle.
//!
//! - `dkg`: threshold keys with a chain code, echo round included. Divided by n.
//! - `aux`: auxiliary information from primes already made, echo round included; with tables, making them too. By n.
//! - `presign`: echo round included. By t.
//! - `online`: one partial signature from a presignature.
//! - `combine`: checks every partial signature, adds them up, verifies the signature. Once, by one party.
//! - `safe prime`: the mean, in both columns; a party needs four. n and t are 1.
use cggmp24::{
    backend::Integer,
    key_share::{AnyKeyShare, AuxInfo, Validate},
    security_level::{SecurityLevel, SecurityLevel128},
    supported_curves::Secp256k1,
    DataToSign, ExecutionId, IncompleteKeyShare, KeyShare, PartialSignature, PregeneratedPrimes,
};
use rand::{rngs::StdRng, SeedableRng};
use round_based::sim;
use sha2::Sha256;
use std::{fs, io, process};

const USAGE: &str = "usage: cggmp24 primes COUNT FILE | cggmp24 run [N T] FILE RUNS | cggmp24 safeprimes COUNT";

/// What `run` measures when no size is given.
const SIZES: [(u16, u16); 2] = [(5, 4), (3, 2)];

const PEER: &str = "cggmp24";
const NO_TABLES: &str = "cggmp24, no tables";

type Primes = PregeneratedPrimes<SecurityLevel128>;
type Aux = AuxInfo<SecurityLevel128>;
type Share = KeyShare<Secp256k1, SecurityLevel128>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["primes", count, file] => {
            primes(number(count), file);
        }
        ["run", file, runs] => {
            for (n, t) in SIZES {
                measure(n, t, &primes(n, file), number(runs));
            }
        }
        ["run", n, t, file, runs] => {
            let n = number(n);
            measure(n, number(t), &primes(n, file), number(runs));
        }
        ["safeprimes", count] => safe_primes(number(count)),
        _ => usage(),
    }
}

fn usage() -> ! {
    eprintln!("{USAGE}");
    process::exit(2)
}

/// An argument that counts: above zero.
fn number(arg: &str) -> u16 {
    match arg.parse() {
        Ok(v) if v > 0 => v,
        _ => usage(),
    }
}

/// The first `count` sets of primes in the file, one set for each party. What is missing is made and written. The primes
/// are for measuring only: the file holds them in the clear.
fn primes(count: u16, file: &str) -> Vec<Primes> {
    let count = usize::from(count);
    let mut sets: Vec<Primes> = match fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).expect("file of primes"),
        Err(e) if e.kind() == io::ErrorKind::NotFound => vec![],
        Err(e) => panic!("read {file}: {e}"),
    };
    let mut rng = StdRng::from_entropy();
    while sets.len() < count {
        sets.push(Primes::generate(&mut rng));
        fs::write(file, serde_json::to_vec(&sets).unwrap()).expect("write file of primes");
        eprintln!("primes: {} of {count}", sets.len());
    }
    sets.truncate(count);
    sets
}

/// The time of one safe prime spreads as wide as its mean, so least and middle say little and many are needed: 100 give
/// the mean to a tenth.
fn safe_primes(count: u16) {
    let mut rng = StdRng::from_entropy(); // not the system's generator: its calls would show in the figure
    let start = cpu();
    for _ in 0..count {
        Integer::generate_safe_prime(&mut rng, SecurityLevel128::RSA_PRIME_BITLEN);
    }
    report(PEER, 1, 1, "safe prime", count, &mut [cpu() - start]);
}

fn measure(n: u16, t: u16, sets: &[Primes], runs: u16) {
    let mut times = vec![];
    let mut shares = vec![];
    for run in 0..runs {
        shares = timed(&mut times, || dkg(n, t, run));
    }
    report(PEER, n, t, "dkg", n, &mut times);

    // Half as many runs: one takes longer than all other phases together.
    let (mut plain, mut tabled) = (vec![], vec![]);
    let (mut times, mut times_tabled) = (vec![], vec![]);
    for run in 0..runs.div_ceil(2) {
        plain = timed(&mut times, || aux(sets, run));
        let start = cpu();
        tabled = plain.iter().map(with_tables).collect();
        times_tabled.push(times[times.len() - 1] + cpu() - start);
    }
    report(PEER, n, t, "aux", n, &mut times_tabled);
    report(NO_TABLES, n, t, "aux", n, &mut times);

    let (mut online, mut combine) = (vec![], vec![]);
    for (peer, aux) in [(PEER, tabled), (NO_TABLES, plain)] {
        let keys: Vec<Share> = shares.iter().cloned().zip(aux).map(|parts| Share::from_parts(parts).unwrap()).collect();
        let mut times = vec![];
        for run in 0..runs {
            sign(&keys, t, run, &mut times, &mut online, &mut combine);
        }
        report(peer, n, t, "presign", t, &mut times);
    }
    report(PEER, n, t, "online", t, &mut online);
    report(PEER, n, t, "combine", 1, &mut combine);
}

fn dkg(n: u16, t: u16, run: u16) -> Vec<IncompleteKeyShare<Secp256k1>> {
    let id = run.to_be_bytes();
    sim::run(n, |i, party| {
        let mut rng = seeded(run, i);
        async move {
            cggmp24::keygen(ExecutionId::new(&id), i, n).set_threshold(t).hd_wallet(true).start(&mut rng, party).await
        }
    })
    .unwrap()
    .expect_ok()
    .into_vec()
}

fn aux(sets: &[Primes], run: u16) -> Vec<Aux> {
    let id = run.to_be_bytes();
    let n = sets.len() as u16;
    sim::run(n, |i, party| {
        let mut rng = seeded(run, i);
        let primes = sets[usize::from(i)].clone();
        async move { cggmp24::aux_info_gen(ExecutionId::new(&id), i, n, primes).start(&mut rng, party).await }
    })
    .unwrap()
    .expect_ok()
    .into_vec()
}

/// What the protocol itself does last when it is asked for tables.
fn with_tables(aux: &Aux) -> Aux {
    let mut aux = aux.clone().into_inner();
    aux.precompute_multiexp_tables().unwrap();
    aux.validate().unwrap()
}

/// One presignature and one signature with it, by the first t parties.
fn sign(keys: &[Share], t: u16, run: u16, presign: &mut Vec<f64>, online: &mut Vec<f64>, combine: &mut Vec<f64>) {
    let id = run.to_be_bytes();
    let signers: &[u16] = &(0..t).collect::<Vec<_>>();
    let message = DataToSign::digest::<Sha256>(b"0123456789abcdef0123456789abcdef");

    let outputs = timed(presign, || {
        sim::run(t, |i, party| {
            let mut rng = seeded(run, i);
            let key = &keys[usize::from(i)];
            async move {
                cggmp24::signing(ExecutionId::new(&id), i, signers, key).generate_presignature(&mut rng, party).await
            }
        })
        .unwrap()
        .expect_ok()
        .into_vec()
    });
    let (presignatures, mut public): (Vec<_>, Vec<_>) = outputs.into_iter().unzip();
    let public = public.swap_remove(0);

    let partials: Vec<PartialSignature<Secp256k1>> =
        timed(online, || presignatures.into_iter().map(|p| p.issue_partial_signature(message)).collect());
    timed(combine, || {
        let signature = PartialSignature::combine(&partials, &public, message).unwrap();
        signature.verify(&keys[0].shared_public_key(), &message).unwrap()
    });
}

/// The randomness of one party in one run: the same with tables and without.
fn seeded(run: u16, i: u16) -> StdRng {
    StdRng::seed_from_u64(u64::from(run) << 16 | u64::from(i))
}

fn timed<T>(times: &mut Vec<f64>, f: impl FnOnce() -> T) -> T {
    let start = cpu();
    let out = f();
    times.push(cpu() - start);
    out
}

/// CPU time of this process in milliseconds.
fn cpu() -> f64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut ts) };
    ts.tv_sec as f64 * 1e3 + ts.tv_nsec as f64 * 1e-6
}

/// Prints one line: peer, suite, n, t, phase, least and middle of the samples in milliseconds, each divided by `parts`.
fn report(peer: &str, n: u16, t: u16, phase: &str, parts: u16, samples: &mut [f64]) {
    samples.sort_by(f64::total_cmp);
    let parts = f64::from(parts);
    let (least, middle) = (samples[0] / parts, samples[samples.len() / 2] / parts);
    println!("{peer}\tsecp256k1\t{n}\t{t}\t{phase}\t{least:.6}\t{middle:.6}");
}
