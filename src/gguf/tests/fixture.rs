//! Small GGUF files, built byte by byte.

use candle_core::{
    Device, Tensor,
    quantized::{GgmlDType, QTensor},
};

/// A file before it is written: keys with their encoded values, and tensors.
#[derive(Clone, Default)]
pub(crate) struct Gguf {
    pub(crate) keys: Vec<(String, Vec<u8>)>,
    pub(crate) tensors: Vec<Stored>,
}

/// One tensor: its name, shape (rows first), type and data.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Added to its true offset.
    pub(crate) shift: u64,
    /// What the data stands for.
    pub(crate) values: Vec<f32>,
}

pub(crate) fn u32_value(value: u32) -> Vec<u8> {
    [4u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub(crate) fn f32_value(value: f32) -> Vec<u8> {
    [6u32.to_le_bytes(), value.to_le_bytes()].concat()
}

pub(crate) fn bool_value(value: bool) -> Vec<u8> {
    [&7u32.to_le_bytes()[..], &[u8::from(value)]].concat()
}

pub(crate) fn text_value(value: &str) -> Vec<u8> {
    [8u32.to_le_bytes().to_vec(), text(value)].concat()
}

pub(crate) fn texts_value(values: &[String]) -> Vec<u8> {
    let body: Vec<u8> = values.iter().flat_map(|value| text(value)).collect();
    [list(8, values.len()), body].concat()
}

pub(crate) fn reals_value(values: &[f32]) -> Vec<u8> {
    let body: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    [list(6, values.len()), body].concat()
}

pub(crate) fn integers_value(values: &[i32]) -> Vec<u8> {
    let body: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    [list(5, values.len()), body].concat()
}

fn list(kind: u32, count: usize) -> Vec<u8> {
    let mut bytes = [9u32.to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend((count as u64).to_le_bytes());
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat()
}

impl Gguf {
    pub(crate) fn set(&mut self, key: &str, value: Vec<u8>) {
        self.keys.retain(|(name, _)| name != key);
        self.keys.push((key.to_owned(), value));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.keys.retain(|(name, _)| name != key);
    }

    /// A tensor of wavy numbers, different for each name.
    pub(crate) fn add(&mut self, name: &str, shape: &[usize], dtype: GgmlDType) {
        let count: usize = shape.iter().product();
        let seed = name.bytes().fold(1u32, |seed, byte| seed.wrapping_mul(31) ^ u32::from(byte));
        let value = |index: usize| ((index as f32).mul_add(0.37, seed as f32 % 97.0)).sin();
        let values: Vec<f32> = (0..count).map(value).collect();
        let dense = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
        let stored = QTensor::quantize(&dense, dtype).unwrap();
        let values = stored.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        self.tensors.push(Stored {
            name: name.to_owned(),
            shape: shape.iter().map(|&size| size as u64).collect(),
            kind: number(dtype),
            data: stored.data().unwrap().into_owned(),
            shift: 0,
            values: values.to_vec1().unwrap(),
        });
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Stored {
        self.tensors.iter_mut().find(|stored| stored.name == name).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend((self.tensors.len() as u64).to_le_bytes());
        bytes.extend((self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        let mut offset = 0u64;
        for stored in &self.tensors {
            bytes.extend(text(&stored.name));
            bytes.extend((stored.shape.len() as u32).to_le_bytes());
            bytes.extend(stored.shape.iter().rev().flat_map(|size| size.to_le_bytes()));
            bytes.extend(stored.kind.to_le_bytes());
            bytes.extend(offset.wrapping_add(stored.shift).to_le_bytes());
            offset += (stored.data.len() as u64).next_multiple_of(32);
        }
        for stored in &self.tensors {
            bytes.resize(bytes.len().next_multiple_of(32), 0);
            bytes.extend(&stored.data);
        }
        bytes
    }

    /// Byte-level tokens, a few merges, and the special tokens around them.
    fn add_tokenizer(&mut self, pre: &str) {
        let merges = ["Ġ t", "h e", "Ġt he", "1 2", "! !"];
        let mut tokens: Vec<(String, i32)> = Vec::new();
        tokens.extend(["<|end|>", "<|user|>"].map(|token| (token.to_owned(), 3)));
        tokens.extend((0..=255).map(|byte| (byte_character(byte).to_string(), 1)));
        tokens.extend(merges.map(|merge| (merge.replace(' ', ""), 1)));
        tokens.push(("<tool>".to_owned(), 4));
        tokens.push(("[PAD264]".to_owned(), 5));
        let (texts, kinds): (Vec<String>, Vec<i32>) = tokens.into_iter().unzip();
        self.set("tokenizer.ggml.model", text_value("gpt2"));
        self.set("tokenizer.ggml.pre", text_value(pre));
        self.set("tokenizer.ggml.tokens", texts_value(&texts));
        self.set("tokenizer.ggml.token_type", integers_value(&kinds));
        self.set("tokenizer.ggml.merges", texts_value(&merges.map(str::to_owned)));
        self.set("tokenizer.ggml.bos_token_id", u32_value(1));
        self.set("tokenizer.ggml.eos_token_id", u32_value(0));
        self.set("tokenizer.ggml.padding_token_id", u32_value(0));
        self.set("tokenizer.chat_template", text_value("{{ messages }}"));
    }
}

/// Rows of every embedding below: one for each token of the tokenizer.
pub(crate) const VOCABULARY: usize = 265;

/// The character in which byte-level tokens write a byte (GPT-2's `bytes_to_unicode`).
pub(crate) fn byte_character(byte: u8) -> char {
    let is_printed = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if is_printed(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !is_printed(*byte)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

fn number(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::F32 => 0,
        GgmlDType::F16 => 1,
        GgmlDType::BF16 => 30,
        GgmlDType::Q4_0 => 2,
        GgmlDType::Q4_1 => 3,
        GgmlDType::Q5_0 => 6,
        GgmlDType::Q5_1 => 7,
        GgmlDType::Q8_0 => 8,
        GgmlDType::Q2K => 10,
        GgmlDType::Q3K => 11,
        GgmlDType::Q4K => 12,
        GgmlDType::Q5K => 13,
        GgmlDType::Q6K => 14,
        other => panic!("{other:?} is not a type of a stored tensor"),
    }
}

/// All types that can be imported.
pub(crate) const TYPES: [GgmlDType; 13] = [
    GgmlDType::F32,
    GgmlDType::F16,
    GgmlDType::BF16,
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q2K,
    GgmlDType::Q3K,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// A llama of the given width (4 heads, 2 key heads), its matrices in `types` by turns.
pub(crate) fn llama(hidden: usize, layers: usize, types: &[GgmlDType]) -> Gguf {
    let mut file = Gguf::default();
    let (keys, intermediate) = (hidden / 2, 2 * hidden);
    file.set("general.architecture", text_value("llama"));
    file.set("general.name", text_value("Tiny"));
    file.set("llama.block_count", u32_value(layers as u32));
    file.set("llama.context_length", u32_value(128));
    file.set("llama.embedding_length", u32_value(hidden as u32));
    file.set("llama.feed_forward_length", u32_value(intermediate as u32));
    file.set("llama.attention.head_count", u32_value(4));
    file.set("llama.attention.head_count_kv", u32_value(2));
    file.set("llama.attention.layer_norm_rms_epsilon", f32_value(1e-5));
    file.set("llama.rope.freq_base", f32_value(100_000.0));
    file.add_tokenizer("smollm");
    file.add("token_embd.weight", &[VOCABULARY, hidden], types[0]);
    file.add("output_norm.weight", &[hidden], GgmlDType::F32);
    let mut turn = types.iter().cycle();
    for layer in 0..layers {
        for name in ["attn_norm", "ffn_norm"] {
            file.add(&format!("blk.{layer}.{name}.weight"), &[hidden], GgmlDType::F32);
        }
        for (name, shape) in [
            ("attn_q", [hidden, hidden]),
            ("attn_k", [keys, hidden]),
            ("attn_v", [keys, hidden]),
            ("attn_output", [hidden, hidden]),
            ("ffn_gate", [intermediate, hidden]),
            ("ffn_up", [intermediate, hidden]),
            ("ffn_down", [hidden, intermediate]),
        ] {
            let dtype = *turn.next().unwrap();
            file.add(&format!("blk.{layer}.{name}.weight"), &shape, dtype);
        }
    }
    file
}

/// A Qwen 2 or 3 with the tensors of a small llama, and the keys of its own architecture.
pub(crate) fn qwen(architecture: &str) -> Gguf {
    let mut file = llama(64, 2, &[GgmlDType::F32]);
    for (key, _) in &mut file.keys {
        *key = key.replace("llama.", &format!("{architecture}."));
    }
    file.set("general.architecture", text_value(architecture));
    file.add_tokenizer("qwen2");
    for layer in 0..2 {
        let mut add = |name: &str, width| {
            file.add(&format!("blk.{layer}.{name}"), &[width], GgmlDType::F32);
        };
        match architecture {
            "qwen2" => {
                for (name, width) in [("attn_q", 64), ("attn_k", 32), ("attn_v", 32)] {
                    add(&format!("{name}.bias"), width);
                }
            }
            _ => ["attn_q_norm.weight", "attn_k_norm.weight"].iter().for_each(|name| add(name, 16)),
        }
    }
    file
}

/// A GPT-2 of width 32 and one layer, with the head written twice as old conversions do.
pub(crate) fn gpt2() -> Gguf {
    let mut file = Gguf::default();
    file.set("general.architecture", text_value("gpt2"));
    file.set("gpt2.block_count", u32_value(1));
    file.set("gpt2.context_length", u32_value(16));
    file.set("gpt2.embedding_length", u32_value(32));
    file.set("gpt2.feed_forward_length", u32_value(64));
    file.set("gpt2.attention.head_count", u32_value(4));
    file.set("gpt2.attention.layer_norm_epsilon", f32_value(1e-5));
    file.add_tokenizer("gpt-2");
    file.add("token_embd.weight", &[VOCABULARY, 32], GgmlDType::Q8_0);
    file.add("position_embd.weight", &[16, 32], GgmlDType::F32);
    for (name, rows, columns) in
        [("attn_qkv", 96, 32), ("attn_output", 32, 32), ("ffn_up", 64, 32), ("ffn_down", 32, 64)]
    {
        file.add(&format!("blk.0.{name}.weight"), &[rows, columns], GgmlDType::Q8_0);
        file.add(&format!("blk.0.{name}.bias"), &[rows], GgmlDType::F32);
    }
    for norm in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        file.add(&format!("{norm}.weight"), &[32], GgmlDType::F32);
        file.add(&format!("{norm}.bias"), &[32], GgmlDType::F32);
    }
    let mut head = file.tensor("token_embd.weight").clone();
    head.name = "output.weight".to_owned();
    file.tensors.push(head);
    file
}
