//! givre with cggmp24-keygen: key generation, round 1, round 2, aggregation (which does not look for a cheater).
use givre::{
    ciphersuite::{Ed25519, Secp256k1},
    Ciphersuite,
};
use peers::{cpu, report, runs};
use rand::SeedableRng;

fn measure<C: Ciphersuite>(suite: &str, n: u16, t: u16) {
    let (mut dkg, mut one, mut two, mut agg) = (vec![], vec![], vec![], vec![]);
    let message = b"0123456789abcdef0123456789abcdef";
    for run in 0..runs() as u64 {
        let eid = run.to_be_bytes();
        let mut rng = rand::rngs::StdRng::seed_from_u64(run);
        let start = cpu();
        let shares = round_based::sim::run(n, |i, party| {
            let mut rng = rand::rngs::StdRng::seed_from_u64(run * 100 + u64::from(i));
            async move {
                cggmp24_keygen::keygen::<C::Curve>(cggmp24_keygen::ExecutionId::new(&eid), i, n)
                    .set_threshold(t)
                    .start(&mut rng, party)
                    .await
            }
        })
        .unwrap()
        .expect_ok()
        .into_vec();
        dkg.push(cpu() - start);

        let signers: Vec<u16> = (0..t).collect();
        let start = cpu();
        let (nonces, commitments): (Vec<_>, Vec<_>) =
            signers.iter().map(|&i| givre::signing::round1::commit::<C>(&mut rng, &shares[i as usize])).unzip();
        one.push(cpu() - start);

        let list: Vec<_> = signers.iter().copied().zip(commitments).collect();
        let start = cpu();
        let partials: Vec<_> = nonces
            .into_iter()
            .zip(&signers)
            .map(|(nonce, &i)| givre::signing::round2::sign::<C>(&shares[i as usize], nonce, message, &list).unwrap())
            .collect();
        two.push(cpu() - start);

        let all: Vec<_> = list.iter().zip(partials).map(|(a, b)| (a.0, a.1, b)).collect();
        let start = cpu();
        givre::signing::aggregate::aggregate::<C>(shares[0].as_ref(), &all, message).unwrap();
        agg.push(cpu() - start);
    }
    report("givre", suite, n, t, "dkg", n, &mut dkg);
    report("givre", suite, n, t, "round1", t, &mut one);
    report("givre", suite, n, t, "round2", t, &mut two);
    report("givre", suite, n, t, "aggregate", 1, &mut agg);
}

fn main() {
    for (n, t) in [(5, 4), (3, 2)] {
        measure::<Ed25519>("ed25519", n, t);
        measure::<Secp256k1>("secp256k1", n, t);
    }
}
