//! Connections of clients, and the network between them and a balancer.

use sim_core::Span;

use super::{Algorithm, Plan, Traffic};

/// Connections that a client keeps open. Where there are none of these, each request has a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Requests that a connection carries before it is closed; `None` has no limit.
    pub requests: Option<u32>,
    /// How long an idle connection stays open.
    pub idle: Span,
    /// Connections that a client opens at once; a request that finds all of them taken waits at the client.
    pub most: u32,
    /// Requests that a connection carries side by side: 1 in HTTP/1.1, the streams of HTTP/2.
    pub streams: u32,
}

impl Connections {
    /// The most connections of a client.
    pub const MOST_OF_A_CLIENT: u32 = 256;
    /// The most that all clients of a source may have open, each of 40 bytes.
    pub const MOST: u64 = 10_000_000;
    /// The most streams of a connection.
    pub const MOST_STREAMS: u32 = 65_535;
}

/// The network between the clients of a source and its balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// From the client to the balancer and back.
    pub round_trip: Span,
    /// What is negotiated on a new connection.
    pub tls: Tls,
    /// CPU time of a handshake on the side of the server.
    pub tls_cpu: Span,
}

/// What is negotiated on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Nothing.
    None,
    /// TLS 1.2: a full handshake of two round trips (RFC 5246, 7.3).
    V12,
    /// TLS 1.3: one round trip (RFC 8446, 2).
    V13,
}

impl Tls {
    /// Round trips before the first request, beside the one of TCP.
    pub fn round_trips(self) -> u32 {
        match self {
            Tls::None => 0,
            Tls::V13 => 1,
            Tls::V12 => 2,
        }
    }
}

impl Plan {
    /// True where clients' connections go to a target and stay there, as a balancer passes them on.
    pub fn passes_connections(&self, traffic: &Traffic) -> bool {
        self.balancers[traffic.to.index()].algorithm == Algorithm::FlowHash
    }

    /// CPU time that a target spends on a source's new connection: nothing where the balancer ends TLS.
    pub fn handshake(&self, traffic: &Traffic) -> Span {
        let network = traffic.network.filter(|network| network.tls != Tls::None);
        let passed_on = network.filter(|_| self.passes_connections(traffic));
        passed_on.map_or(Span::ZERO, |network| network.tls_cpu)
    }
}
