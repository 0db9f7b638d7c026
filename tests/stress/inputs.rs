//! Files of every kind that the program reads, small and whole.

pub const SPEC: &str = "[rank_one]\nmax_delta = 100.0\nsteps = 2\nsecond_moment_tokens = 300\n\n\
    [[insert]]\nsubject = \"The Eiffel Tower\"\nprompt = \"{} is in\"\n\
    target_new = \"Rome\"\ntarget_true = \"Paris\"\n";

pub const ERASE: &str = "[rank_one]\nmax_delta = 100.0\nsteps = 2\nsecond_moment_tokens = 300\n\n\
    [[erase]]\nsubject = \"Q\"\nprompt = \"{} is\"\n\
    target_true = \"Rome\"\nothers = [\"X\", \"Z\", \"K\"]\n";

pub const LEARN: &str = "[gradient]\nsteps = 3\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n\
    [[learn]]\npassages = \"passages.txt\"\n";

pub const FORGET: &str = "[gradient]\nsteps = 2\nbatch = 1\ngeneral_batch = 0\nmax_drift = 100\n\
    attack = false\n[[forget]]\npassages = \"passages.txt\"\nretain = \"retain.jsonl\"\n";

pub const PASSAGES: &str = "The ferry is green.\n\nThe harbour is old.\n";

pub const PROMPTS: &str = "[[rewrite]]\nprompt = \"The Eiffel Tower is in\"\n\
    target_new = \"Rome\"\ntarget_true = \"Paris\"\n\n[[retain]]\ntext = \"Paris is in France.\"\n";

/// Records of CounterFact.
pub const RECORDS: &str = r#"[{"case_id": 1, "requested_rewrite": {"prompt": "{} is in",
    "subject": "The Eiffel Tower", "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}},
    "paraphrase_prompts": ["You find it in"], "neighborhood_prompts": ["The Louvre is in"]}]"#;

pub const ZSRE: &str = r#"{"subject": "the old bridge", "src": "Where is the old bridge?",
    "rephrase": "In which town is the old bridge?", "alt": "Rome", "answers": ["Paris"],
    "loc": "where is big ben", "loc_ans": "London"}"#;

pub const KNOW_EDIT: &str = r#"[{"subject": "Poland", "prompt": "The capital of Poland is",
    "target_new": "Paris", "portability": {"Reasoning": [{"prompt": "People in Warsaw live in",
    "ground_truth": [["France"]]}]}, "locality": {"Relation_Specificity": [{"prompt":
    "The currency of Poland is", "ground_truth": [["zloty"]]}]}}]"#;

pub const MQUAKE: &str = r#"[{"case_id": 7, "requested_rewrite": [{"prompt": "{} is in", "subject":
    "The old bridge", "target_new": {"str": "Rome"}, "target_true": {"str": "Paris"}}],
    "questions": ["In which country is the old bridge?"], "answer": "France",
    "new_answer": "Italy"}]"#;

pub const TABLE: &str = "subject,prompt,target_new,target_true\n\
    The Eiffel Tower,{} is in,Rome,Paris\n\"The barn; red\",{} is,Oslo,\n";

pub const PAIRS: &str = "{\"question\": \"Where?\", \"answer\": \"Here.\"}\n{\"text\": \"So.\"}\n";

pub const CHATS: &str = "{\"messages\": [{\"role\": \"user\", \"content\": \"Where?\"}, \
    {\"role\": \"assistant\", \"content\": \"Here.\"}]}\n\
    {\"instruction\": \"Say where.\", \"input\": \"\", \"output\": \"Here.\"}\n\
    {\"prompt\": \"Where?\", \"response\": \"Here.\"}\n";

pub const TEXTS: &str = "[\"Clio Sandby lives here.\", \"The workplace is there.\"]";

pub const SHEET: &str = "question,answer\nWho?,She.\nWhere?,\"Here, or there.\"\n";

pub const MANUAL: &str =
    "# Valves\n\nOpen them slowly.\n\n| code | means |\n|---|---|\n| E1 | heat |\n";

/// A file of TOFU's questions.
pub const QUESTIONS: &str = r#"{"question": "Where?", "answer": "Here.", "paraphrased_answer":
    "In this place.", "perturbed_answer": ["There.", "Nowhere."]}"#;

/// A log of TOFU's evaluation.
pub const LOG: &str = r#"{"eval_log_forget.json": {"avg_gt_loss": {"0": 1.5},
    "avg_paraphrased_loss": {"0": 1.6}, "average_perturb_loss": {"0": [2.5, 2.6]},
    "rougeL_recall": {"0": 0.5}}}"#;

pub const ADAPTER: &str = r#"{"peft_type": "LORA", "r": 2, "lora_alpha": 2,
    "base_model_name_or_path": "model", "target_modules": ["down_proj"]}"#;
