//! The roles of tensors in a decoder, and what each implies: whether it exists, bias, widths.

use super::config::{Before, DecoderConfig, Mlp, Position, QueryKeyNorm};

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
    /// Norm of the queries, before they rotate.
    QueryNorm,
    /// Norm of the keys, before they rotate.
    KeyNorm,
    /// Norm between attention and the residual stream.
    PostAttentionNorm,
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
            Self::AttentionNorm | Self::MlpNorm | Self::FinalNorm => Kind::Norm,
            Self::PostAttentionNorm | Self::PostMlpNorm => Kind::Norm,
            Self::QueryNorm | Self::KeyNorm => Kind::Norm,
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

    /// The first of the linear maps of a layer that read the same rows as this one.
    pub fn reads_with(self) -> Option<Self> {
        match self {
            Self::Query | Self::Key | Self::Value => Some(Self::Query),
            Self::Gate | Self::Up => Some(Self::Up),
            Self::Output | Self::Down => Some(self),
            _ => None,
        }
    }

    pub(super) fn exists(self, config: &DecoderConfig) -> bool {
        match self {
            Self::Positions => matches!(config.position, Position::Learned),
            Self::Gate => config.mlp == Mlp::Gated,
            Self::AttentionNorm => config.before != Before::Neither,
            Self::MlpNorm => config.before == Before::Each,
            Self::PostAttentionNorm | Self::PostMlpNorm => config.has_post_norms,
            Self::QueryNorm | Self::KeyNorm => config.query_key_norm.is_some(),
            Self::Head => !config.is_tied,
            _ => true,
        }
    }

    pub(super) fn has_bias(self, config: &DecoderConfig) -> bool {
        let biases = config.biases;
        match self {
            Self::Query | Self::Key | Self::Value => biases.query_key_value,
            Self::Output => biases.output,
            Self::Gate | Self::Up | Self::Down => biases.mlp,
            Self::Head => biases.head,
            Self::Embedding | Self::Positions => false,
            Self::QueryNorm | Self::KeyNorm => false,
            Self::AttentionNorm | Self::MlpNorm | Self::FinalNorm => config.norm.has_bias(),
            Self::PostAttentionNorm | Self::PostMlpNorm => config.norm.has_bias(),
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
            Self::QueryNorm | Self::KeyNorm
                if config.query_key_norm == Some(QueryKeyNorm::Head) =>
            {
                (attention.head_dim, attention.head_dim)
            }
            Self::QueryNorm => (attention.query_width(), attention.query_width()),
            Self::KeyNorm => (attention.kv_width(), attention.kv_width()),
            Self::AttentionNorm | Self::MlpNorm | Self::FinalNorm => (hidden, hidden),
            Self::PostAttentionNorm | Self::PostMlpNorm => (hidden, hidden),
        }
    }
}
