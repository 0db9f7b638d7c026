//! The roles of tensors in a decoder, and what each implies: whether it exists, bias, widths.

use super::config::{DecoderConfig, Mlp, Norm, Position};

/// The role of a tensor in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Token embedding, also the head where that is tied.
    Embedding,
    /// Learned positions.
    Positions,
    /// Norm before attention.
    AttentionNorm,
    /// Norm before the MLP.
    MlpNorm,
    /// Query projection.
    Query,
    /// Key projection.
    Key,
    /// Value projection.
    Value,
    /// Output projection of attention.
    Output,
    /// Gate projection of a gated MLP.
    Gate,
    /// Up projection.
    Up,
    /// Down projection: the matrix that rank-one edits change.
    Down,
    /// Norm between the down projection and the residual stream.
    PostMlpNorm,
    /// Norm before the head.
    FinalNorm,
    /// An untied head.
    Head,
}

/// The arithmetic in which a role takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows that tokens or positions choose, [rows, hidden].
    Table,
    Norm,
    Linear,
}

impl Role {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Embedding | Self::Positions | Self::Head => Kind::Table,
            Self::AttentionNorm | Self::MlpNorm | Self::PostMlpNorm | Self::FinalNorm => Kind::Norm,
            Self::Query | Self::Key | Self::Value | Self::Output => Kind::Linear,
            Self::Gate | Self::Up | Self::Down => Kind::Linear,
        }
    }

    /// A linear map of a layer.
    pub fn is_linear(self) -> bool {
        self.kind() == Kind::Linear
    }

    /// A linear map of an MLP.
    pub fn is_mlp(self) -> bool {
        matches!(self, Self::Gate | Self::Up | Self::Down)
    }

    pub(super) fn exists(self, config: &DecoderConfig) -> bool {
        match self {
            Self::Positions => config.position == Position::Learned,
            Self::Gate => config.mlp == Mlp::Gated,
            Self::PostMlpNorm => config.has_post_mlp_norm,
            Self::Head => !config.is_tied,
            _ => true,
        }
    }

    pub(super) fn has_bias(self, config: &DecoderConfig) -> bool {
        match self.kind() {
            Kind::Table => false,
            Kind::Norm => matches!(config.norm, Norm::Layer(_)),
            Kind::Linear if self.is_mlp() => config.has_mlp_bias,
            Kind::Linear => config.has_attention_bias,
        }
    }

    /// Widths of its input and output.
    pub(super) fn widths(self, config: &DecoderConfig) -> (usize, usize) {
        let (hidden, inner, attention) = (config.hidden, config.intermediate, config.attention);
        match self {
            Self::Embedding | Self::Head => (hidden, config.vocabulary),
            Self::Positions => (hidden, config.context),
            Self::Query => (hidden, attention.query_width()),
            Self::Key | Self::Value => (hidden, attention.kv_width()),
            Self::Output => (attention.query_width(), hidden),
            Self::Gate | Self::Up => (hidden, inner),
            Self::Down => (inner, hidden),
            Self::AttentionNorm | Self::MlpNorm | Self::PostMlpNorm | Self::FinalNorm => {
                (hidden, hidden)
            }
        }
    }
}
