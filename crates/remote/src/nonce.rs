//! Nonces: what makes the names that one writer stores its own.
//!
//! A nonce is 40 bits that a writer draws once, and 24 bits that it draws for each object. So a writer
//! knows what it stored by the names alone, however much it was, and an object that is stored again
//! has another name.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use archive::object::ObjectName;

use crate::Result;
use crate::env::Host;

const OWN_BYTES: usize = 5;

/// The nonces of one writer.
#[derive(Debug, Clone)]
pub(crate) struct Nonces {
    own: [u8; OWN_BYTES],
    /// Names that a store once said were taken: this writer may have stored them in an attempt whose
    /// answer was lost, but refers to none of them.
    given_up: Arc<Mutex<HashSet<ObjectName>>>,
}

impl Nonces {
    pub(crate) fn draw(host: &Host) -> Result<Self> {
        Ok(Self { own: host.random()?, given_up: Arc::default() })
    }

    /// A nonce for one object.
    pub(crate) fn next(&self, host: &Host) -> Result<[u8; 8]> {
        let mut nonce: [u8; 8] = host.random()?;
        nonce[..OWN_BYTES].copy_from_slice(&self.own);
        Ok(nonce)
    }

    /// Notes that an object was not stored under this name after all.
    pub(crate) fn give_up(&self, name: ObjectName) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }

    /// Whether this writer stored the object, and may refer to it.
    pub(crate) fn is_own(&self, name: &ObjectName) -> bool {
        name.nonce.starts_with(&self.own)
            && !self.given_up.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

#[cfg(test)]
mod tests {
    use archive::object::ObjectHash;

    use super::*;

    #[test]
    fn a_writer_knows_its_own_names_by_their_nonces() {
        let host = Host::system("test");
        let (own, other) = (Nonces::draw(&host).unwrap(), Nonces::draw(&host).unwrap());
        let name = |nonces: &Nonces| ObjectName {
            hash: ObjectHash([7; 32]),
            nonce: nonces.next(&host).unwrap(),
        };
        let names: HashSet<_> = (0..1000).map(|_| name(&own)).collect();
        assert!(names.len() > 990, "24 random bits hardly repeat in a thousand");
        assert!(names.iter().all(|name| own.is_own(name) && !other.is_own(name)));
        let lost = name(&own);
        own.give_up(lost);
        assert!(!own.clone().is_own(&lost));
    }
}
