// What the page cannot say in HTML. Without these files (and without htmx) the forms post and the links navigate.
import './live.js';
import './messages.js';
import './composer.js';
import './copy.js';
import './formulas.js';
import './scroll.js';
import './preferences.js';
import './waiting.js';
import './sidebar.js';
import './tabs.js';
import './keys.js';
