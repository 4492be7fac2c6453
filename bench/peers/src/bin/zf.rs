//! The ZF FROST crates: key generation, round 1, round 2, aggregation, aggregation with a cheater.
use peers::{cpu, report, runs};
use std::collections::BTreeMap;

macro_rules! measure {
    ($frost:ident, $suite:expr, $n:expr, $t:expr) => {{
        use $frost as frost;
        let (n, t): (u16, u16) = ($n, $t);
        let mut rng = rand::rngs::OsRng;
        let ids: Vec<frost::Identifier> = (1..=n).map(|i| i.try_into().unwrap()).collect();
        let signers = &ids[..t as usize];
        let message = b"0123456789abcdef0123456789abcdef";
        let (mut dkg, mut one, mut two, mut agg, mut cheat) = (vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..runs() {
            let start = cpu();
            let (mut secrets1, mut sent1) = (BTreeMap::new(), BTreeMap::new());
            for &i in &ids {
                let (s, m) = frost::keys::dkg::part1(i, n, t, &mut rng).unwrap();
                secrets1.insert(i, s);
                sent1.insert(i, m);
            }
            let others = |i: frost::Identifier| -> BTreeMap<_, _> {
                sent1.iter().filter(|(k, _)| **k != i).map(|(k, v)| (*k, v.clone())).collect()
            };
            let mut secrets2 = BTreeMap::new();
            let mut sent2: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
            for &i in &ids {
                let (s, out) = frost::keys::dkg::part2(secrets1.remove(&i).unwrap(), &others(i)).unwrap();
                secrets2.insert(i, s);
                for (j, m) in out {
                    sent2.entry(j).or_default().insert(i, m);
                }
            }
            let (mut keys, mut public) = (BTreeMap::new(), None);
            for &i in &ids {
                let (k, p) = frost::keys::dkg::part3(&secrets2[&i], &others(i), &sent2[&i]).unwrap();
                keys.insert(i, k);
                public = Some(p);
            }
            dkg.push(cpu() - start);
            let public = public.unwrap();

            let start = cpu();
            let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
            for &i in signers {
                let (a, b) = frost::round1::commit(keys[&i].signing_share(), &mut rng);
                nonces.insert(i, a);
                commitments.insert(i, b);
            }
            one.push(cpu() - start);

            let package = frost::SigningPackage::new(commitments, message);
            let start = cpu();
            let mut shares = BTreeMap::new();
            for &i in signers {
                shares.insert(i, frost::round2::sign(&package, &nonces[&i], &keys[&i]).unwrap());
            }
            two.push(cpu() - start);

            let start = cpu();
            frost::aggregate(&package, &shares, &public).unwrap();
            agg.push(cpu() - start);

            let wrong = shares[&ids[0]];
            shares.insert(signers[t as usize - 1], wrong);
            let start = cpu();
            assert!(frost::aggregate(&package, &shares, &public).is_err());
            cheat.push(cpu() - start);
        }
        let name = stringify!($frost);
        report(name, $suite, n, t, "dkg", n, &mut dkg);
        report(name, $suite, n, t, "round1", t, &mut one);
        report(name, $suite, n, t, "round2", t, &mut two);
        report(name, $suite, n, t, "aggregate", 1, &mut agg);
        report(name, $suite, n, t, "aggregate, one cheats", 1, &mut cheat);
    }};
}

fn main() {
    for (n, t) in [(5, 4), (3, 2)] {
        measure!(frost_ed25519, "ed25519", n, t);
        measure!(frost_secp256k1, "secp256k1", n, t);
        measure!(frost_secp256k1_tr, "taproot", n, t);
    }
}
